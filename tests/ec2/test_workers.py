"""Many calls side by side."""

from __future__ import annotations

import os
import signal

import pytest

from amibake.ec2.workers import workers
from amibake.interrupts import interruptible


def test_answers_come_in_the_order_of_what_was_asked() -> None:
    with workers() as work:
        assert work.each(str, range(100)) == [str(number) for number in range(100)]
        assert work.each(str, []) == []
    assert not work.stopped.is_set()


def test_after_an_error_nothing_else_is_begun_and_what_waits_is_told(no_thread_left: None) -> None:
    begun: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ZeroDivisionError
        assert work.stopped.wait(60)

    with workers() as work, pytest.raises(ZeroDivisionError):
        work.each(call, range(5000))
    assert work.stopped.is_set()
    assert len(begun) < 5000


def test_after_a_signal_nothing_else_is_begun_and_what_waits_is_told(no_thread_left: None) -> None:
    begun: list[int] = []
    told: list[bool] = []

    def call(number: int) -> None:
        begun.append(number)
        if number == 0:
            os.kill(os.getpid(), signal.SIGINT)
        told.append(work.stopped.wait(10))
        assert told[-1]

    with pytest.raises(KeyboardInterrupt), interruptible(), workers() as work:
        work.each(call, range(5000))
    assert all(told)
    assert len(begun) < 5000
