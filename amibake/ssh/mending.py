"""What is done again when the connection was lost meanwhile, where that can do no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from amibake import waiting
from amibake.errors import AmibakeError, ConnectionLost
from amibake.events import Emit, Warned
from amibake.waiting import Deadline

T = TypeVar("T")

RECONNECTS = 3
"""How often the connection is made anew within one operation. That some of it was done does not count: whatever is done
again is done from its beginning."""


def mended(
    call: Callable[[], T],
    *,
    harmless: Callable[[ConnectionLost], bool],
    reconnect: Callable[[], None],
    emit: Emit,
    deadline: Deadline,
) -> T:
    """Make a call. When the connection is lost meanwhile and to make it again is `harmless`, connect anew and do so,
    three times at most and as long as the deadline allows. A `Warned` tells of each.

    Raises:
        ConnectionLost: it was lost once more, or the call can't be made again.
        SSHTimeout, AuthenticationFailed, HostKeyChanged: there is no getting in again; the message says after what.
    """
    losses: list[ConnectionLost] = []

    def again(error: BaseException) -> bool:
        if not isinstance(error, ConnectionLost) or not harmless(error):
            return False
        losses.append(error)
        return True

    def mend() -> None:
        lost = losses[-1].message
        emit(Warned(f"{lost}; connecting anew to do it again ({len(losses)} of {RECONNECTS})"))
        try:
            reconnect()
        except ConnectionLost:
            return  # which the next try finds, so that it counts
        except AmibakeError as error:
            error.message = f"{lost}; and then: {error.message}"
            raise

    try:
        return waiting.again(call, after=again, times=1 + RECONNECTS, first=mend, within=deadline)
    except ConnectionLost as error:
        if len(losses) > RECONNECTS:
            error.hint = f"it was lost {len(losses)} times: is the line to the builder sound, and is its sshd?"
        raise
