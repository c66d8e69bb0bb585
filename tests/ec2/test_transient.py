"""What is made again, how often and for how long: on one clock, and with one error in the end."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from amibake.ec2.refusals import Translating
from amibake.ec2.transient import Retries, may_be_done
from amibake.errors import AmibakeError, NotAuthorized
from amibake.events import Event, Waiting
from amibake.testing.clock import FakeClock
from amibake.waiting import Deadline

URL = "https://ec2"


def said(code: str, status: int = 400, operation: str = "RunInstances") -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


class Client:
    """Fails with these, one after the other, the last of them for ever."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.asked: list[dict[str, Any]] = []

    def run_instances(self, **arguments: Any) -> str:
        self.asked.append(arguments)
        failure = self.failures.pop(0) if len(self.failures) > 1 else self.failures[0]
        if failure is not None:
            raise failure
        return "done"

    def call(self, retries: Retries, **arguments: Any) -> str:
        return str(Translating(self, retries=retries).run_instances(**arguments))


TRANSIENT = [
    said("RequestLimitExceeded", 503),
    said("Throttling"),
    said("EC2ThrottledException"),
    said("InternalError", 500),
    said("InternalFailure"),
    said("Unavailable", 503),
    said("502", 502),
    ConnectionClosedError(endpoint_url=URL),
    EndpointConnectionError(endpoint_url=URL),
    ReadTimeoutError(endpoint_url=URL),
    SSLError(endpoint_url=URL, error=OSError("EOF occurred in violation of protocol")),
    ResponseParserError("Unable to parse response (no element found)\nb'<a'"),
    said("Throttling", operation="AssumeRole"),
]


@pytest.mark.parametrize("failure", TRANSIENT, ids=lambda one: f"{type(one).__name__} {one}"[:60])
def test_what_passes_by_itself_is_asked_for_again_word_for_word(clock: FakeClock, failure: Exception) -> None:
    client, seen = Client(failure, failure, None), list[Event]()
    assert client.call(Retries(7, 60, emit=seen.append), ClientToken="b-0") == "done"
    assert client.asked == [{"ClientToken": "b-0"}] * 3
    assert 0.75 <= clock.now() <= 1.5
    assert [event.what for event in seen if isinstance(event, Waiting)] == ["RunInstances to be answered"] * 2


@pytest.mark.parametrize(
    "failure",
    [
        said("InsufficientInstanceCapacity", 500),
        said("InsufficientVolumeCapacity", 500),
        said("UnauthorizedOperation", 403),
        said("RequestExpired"),
        said("InvalidParameterValue"),
        said("AccessDenied", 403, operation="AssumeRole"),
        NoCredentialsError(),
        ParamValidationError(report="Unknown parameter"),
        SSLError(endpoint_url=URL, error=OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")),
    ],
    ids=lambda one: f"{type(one).__name__} {one}"[:60],
)
def test_what_stays_is_said_at_once(clock: FakeClock, failure: Exception) -> None:
    client = Client(failure)
    with pytest.raises(AmibakeError) as caught:
        client.call(Retries(7, 60))
    assert (len(client.asked), clock.now(), caught.value.lost) == (1, 0, False)
    assert "It was tried" not in caught.value.hint


def test_it_ends_after_so_many_times_or_so_many_seconds_and_says_so(clock: FakeClock) -> None:
    client = Client(said("RequestLimitExceeded", 503))
    with pytest.raises(AmibakeError, match="RequestLimitExceeded") as caught:
        client.call(Retries(2, 60))
    assert len(client.asked) == 3
    assert "It was tried 3 times in" in caught.value.hint
    assert "max_retries and retry_timeout" in caught.value.hint
    started = clock.now()
    with pytest.raises(AmibakeError):
        client.call(Retries(100, 30))
    assert clock.now() - started == pytest.approx(30)


@pytest.mark.parametrize(
    ("left", "wait", "seconds"),
    [(20, 0, 20), (4, 0, 10), (4, 5, 60), (600, 0, 60)],
    ids=["no longer than the bake", "but for a moment", "then it is a release", "nor than the option"],
)
def test_it_keeps_to_the_time_of_the_bake(clock: FakeClock, left: float, wait: float, seconds: float) -> None:
    within = Deadline(left)
    clock.sleep(wait)
    started = clock.now()
    with pytest.raises(AmibakeError):
        Client(said("InternalError", 500)).call(Retries(100, 60, within))
    assert clock.now() - started == pytest.approx(seconds)


def test_without_retries_a_call_is_made_once(clock: FakeClock) -> None:
    client = Client(said("InternalError", 500))
    with pytest.raises(AmibakeError):
        client.call(Retries(0, 60))
    assert (len(client.asked), clock.now()) == (1, 0)


def test_what_may_have_been_done_by_an_earlier_try_counts_as_lost(clock: FakeClock) -> None:
    timeout, busy, no = ReadTimeoutError(endpoint_url=URL), said("RequestLimitExceeded"), said("UnauthorizedOperation")
    outcomes: dict[tuple[Exception, ...], bool] = {(timeout, no): True, (timeout, busy): True, (busy, no): False}
    for failures, lost in outcomes.items():
        with pytest.raises(AmibakeError) as caught:
            Client(*failures).call(Retries(2, 60))
        assert caught.value.lost is lost
        assert isinstance(caught.value, NotAuthorized) == (failures[-1] is no)


@pytest.mark.parametrize(
    ("failure", "may"),
    [
        (said("RequestLimitExceeded", 503), False),
        (said("InsufficientInstanceCapacity", 500), False),
        (said("InternalError", 500), True),
        (ResponseParserError("cut"), True),
        (ConnectionClosedError(endpoint_url=URL), True),
        (ParamValidationError(report="no"), False),
    ],
    ids=lambda one: str(one)[:40],
)
def test_a_refused_call_was_not_done(failure: Any, may: bool) -> None:
    assert may_be_done(failure) is may


def test_an_answer_that_was_cut_shows_nothing_of_itself(clock: FakeClock) -> None:
    client = Client(ResponseParserError("Unable to parse response\nb'<secret>"))
    with pytest.raises(AmibakeError, match="RunInstances could not be called: Unable to parse response") as caught:
        client.call(Retries())
    assert "secret" not in str(caught.value)


def test_pauses_differ_so_that_many_do_not_come_back_together(clock: FakeClock) -> None:
    pauses: list[float] = []
    for _ in range(10):
        started = clock.now()
        with pytest.raises(AmibakeError):
            Client(said("Throttling")).call(Retries(1, 60))
        pauses.append(clock.now() - started)
    assert len(set(pauses)) == 10
    assert all(0.25 <= pause <= 0.5 for pause in pauses)
