"""Which failures of a call pass by themselves, so that the call is made again, and how often and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)
from botocore.exceptions import ConnectionError as Unreachable
from botocore.parsers import ResponseParserError

from amibake import waiting
from amibake.errors import AmibakeError
from amibake.events import Emit, Waiting
from amibake.waiting import Deadline, duration, persist

T = TypeVar("T")

Foreign = ClientError | BotoCoreError | ResponseParserError
FOREIGN = (ClientError, BotoCoreError, ResponseParserError)
"""Everything that botocore raises of a call; an answer that was cut half-way is the last, and no BotoCoreError."""

THROTTLED = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
FAILED = {
    "InternalError",
    "InternalFailure",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceFailure",
    "ServiceUnavailable",
    "Unavailable",
}
NO_CAPACITY = {
    "InsufficientAddressCapacity",
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientVolumeCapacity",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
}
"""What EC2 says with the status 500 as well, though it is no fault of the moment."""

_FAULTS = {500, 502, 503, 504}
_LEAST = 10.0
"""Seconds that a call may be repeated for however little time the bake has left: it may be one that removes something.
"""


def is_transient(error: BaseException | None) -> bool:
    """Whether the same call may well succeed a moment later."""
    if isinstance(error, ClientError):
        return _code(error) in THROTTLED or _has_failed(error)
    if isinstance(error, SSLError):
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    return isinstance(error, (Unreachable, HTTPClientError, IncompleteReadError, ResponseParserError))


def may_be_done(error: Foreign) -> bool:
    """Whether a call that failed like this may have been done all the same."""
    if isinstance(error, ClientError):
        return _code(error) not in THROTTLED and _has_failed(error)
    return is_transient(error)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _has_failed(error: ClientError) -> bool:
    code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code in FAILED or (status in _FAULTS and code not in NO_CAPACITY)


class _Here(threading.local):
    throttled = 0


_here = _Here()


def throttled() -> int:
    """How many calls of this thread have been throttled."""
    return _here.throttled


@dataclass(frozen=True)
class Retries:
    """How calls are made again.

    Attributes:
        times: How often one call is.
        seconds: For how long.
        within: The bake's time: what is repeated goes beyond it by some seconds at most. Once it is over there are only
            calls that remove something, which have their whole time.
        emit: Is told what is waited for.
    """

    times: int = 0
    seconds: float = 60.0
    within: Deadline | None = None
    emit: Emit = lambda _: None

    def call(self, name: str, once: Callable[[], T]) -> T:
        """Make a call of this name, again while its failure, an AmibakeError from one of botocore's, is transient.

        The error that is raised in the end counts as lost when any of the tries may have been done.
        """
        lost, tries, started = False, 1, waiting.clock.now()

        def failed(error: BaseException, number: int, _pause: float) -> None:
            nonlocal lost, tries
            assert isinstance(error, AmibakeError)  # noqa: S101 - nothing else is repeated
            lost, tries = lost or error.lost, number + 1
            _here.throttled += error.code in THROTTLED
            self.emit(Waiting(f"{name} to be answered", error.message, waiting.clock.now() - started))

        try:
            return persist(
                once,
                times=self.times + 1,
                over=lambda error: not is_transient(error.__cause__),
                failed=failed,
                deadline=self._deadline(),
                first=0.5,
                most=20.0,
                jitter=0.5,
            )
        except AmibakeError as error:
            error.lost = error.lost or lost
            if tries > 1 and is_transient(error.__cause__):
                spent = duration(waiting.clock.now() - started)
                said = f"It was tried {tries} times in {spent}; max_retries and retry_timeout allow for more."
                error.hint = "\n".join(filter(None, [error.hint, said]))
            raise

    def _deadline(self) -> Deadline:
        left = self.within.remaining() if self.within else 0.0
        return Deadline(min(self.seconds, max(left, _LEAST)) if left > 0 else self.seconds)
