"""What all provisioners can be told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from amibake import waiting
from amibake.errors import InvalidOption
from amibake.host import Host


@dataclass(frozen=True, kw_only=True)
class Step:
    """Options of every provisioner, and a base for those of your own: they add `provision`, and `check` where there is
    more to look at. One that has another base may have attributes of these names too: they mean the same there.

    Attributes:
        name: What it is called in events, timings and errors; by default what it does.
        pause_before: How long to wait before it is begun, in seconds or as in "10s". Once, however often it is tried.
        timeout: How long each try may take, in seconds or as in "5m"; by default as long as the bake may.
        max_retries: How often it is tried again after an error. What cannot be mended by that is not repeated: wrong
            options, and interrupts. Pauses of 1, 2, 4 … up to 30 seconds are made; a connection that was lost is made
            anew. The error in the end is the last try's.
        only: Names of bakes, or patterns of Python's fnmatch such as "web-*": it is done in these alone. The name of a
            bake is `host.data["BuildName"]`.
        except_: Likewise: it is not done in these. Packer's `except`, which in Python can't be a name.
        continue_on_error: When it has failed for good that is a warning, and the bake goes on.
    """

    name: str | None = None
    pause_before: float | str = 0.0
    timeout: float | str | None = None
    max_retries: int = 0
    only: Sequence[str] = ()
    except_: Sequence[str] = ()
    continue_on_error: bool = False

    def check(self) -> None:
        """Look at everything that can be known before a builder is launched. Raises InvalidOption, with every
        mistake."""
        mistakes = list(self.common_mistakes())
        if type(self).provision is Step.provision:
            mistakes.append("it has no provision() of its own")
        if mistakes:
            raise InvalidOption(*(f"{type(self).__name__}: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Do it."""
        raise NotImplementedError

    @property
    def limit(self) -> float | None:
        """The seconds of `timeout`."""
        return None if self.timeout is None else waiting.seconds(self.timeout)

    def common_mistakes(self) -> Iterator[str]:
        """What is wrong with these."""
        if self.name is not None and not is_text(self.name):
            yield "name: has to be a text, and not empty"
        yield from _mistakes_of_seconds("pause_before", self.pause_before, zero=True)
        if self.timeout is not None:
            yield from _mistakes_of_seconds("timeout", self.timeout, zero=False)
        if not _is_count(self.max_retries):
            yield f"max_retries: {self.max_retries!r} is no number of further tries"
        for option, given in (("only", self.only), ("except_", self.except_)):
            if not is_list_of_texts(given):
                yield f"{option}: must be a list of names or patterns"
        if self.only and self.except_:
            yield "give only or except_, not both"
        yield from mistakes_of_switch("continue_on_error", self.continue_on_error)


def mistakes_of_common_options(step: object) -> Iterator[str]:
    """What is wrong with those of any provisioner; one that is not ours may lack them, and None counts as that."""
    if isinstance(step, Step):
        yield from step.common_mistakes()
    else:
        given = {option.name: getattr(step, option.name, None) for option in fields(Step)}
        yield from Step(**{name: value for name, value in given.items() if value is not None}).common_mistakes()


def mistakes_of_switch(option: str, given: object) -> Iterator[str]:
    """What is wrong with an option that is True or False."""
    if not isinstance(given, bool):
        yield f"{option}: {given!r} is neither True nor False"


def is_text(given: object) -> bool:
    """Whether it is a text, with something in it."""
    return isinstance(given, str) and bool(given.strip())


def is_list_of_texts(given: object) -> bool:
    """Whether it is a list, and not one text, which has the looks of a list of letters; none of them may be empty."""
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        return False
    return all(isinstance(one, str) and one for one in given)


def _is_count(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0


def _mistakes_of_seconds(option: str, given: Any, *, zero: bool) -> Iterator[str]:
    try:
        found = waiting.seconds(given)
    except (TypeError, ValueError, OverflowError):
        yield f'{option}: {given!r} has to be seconds, or text such as "90s", "5m" or "1h30m"'
        return
    if not math.isfinite(found) or found < 0 or (found == 0 and not zero):
        yield f"{option}: {given} is no number of seconds to wait"
