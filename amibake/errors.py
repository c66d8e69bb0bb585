"""Every error that amibake raises on purpose, and the exit code that commands give it.

    AmibakeError 1
    ├── BakesFailed 1
    ├── InvalidOption 2
    ├── SourceImageNotFound 3
    ├── NotAuthorized 4
    ├── NoCapacity 5
    ├── SSHTimeout 6
    ├── AuthenticationFailed 7
    ├── HostKeyChanged 8
    ├── ConnectionLost 9
    ├── UploadFailed 10
    ├── ScriptFailed 11
    ├── ImageFailed 12
    ├── WaitTimeout 13
    └── SandboxUnavailable 14

The message is a fact with its values; `hint` says what to do about it. An interrupted command exits with
128 + the signal's number: 129 (SIGHUP), 130 (SIGINT) or 143 (SIGTERM).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self


class AmibakeError(Exception):
    """Something that amibake can say in its own words.

    Attributes:
        hint: What the user can do about it; empty when there is nothing better to say than the message.
        build: The id of the bake in which it happened (the value of the `amibake:build` tag), or None.
        leftovers: What that bake could not remove, one line each, with the command that removes it.
        code: EC2's own word for the error ("InvalidAMIName.Duplicate"), or "" where EC2 did not say it.
        lost: Whether nobody said what became of the call: it may have been done.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.build: str | None = None
        self.leftovers: tuple[str, ...] = ()
        self.code = ""
        self.lost = False

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InvalidOption(AmibakeError):
    """The configuration is wrong; nothing was launched, or what was is gone again. `mistakes` has them all."""

    exit_code = 2

    def __init__(self, *mistakes: str, hint: str = "") -> None:
        super().__init__("\n".join(mistakes), hint=hint)
        self.mistakes = mistakes


class SourceImageNotFound(AmibakeError):
    """No image has the id that `source_ami` names, or matches its filter, in this region and account."""

    exit_code = 3


class NotAuthorized(AmibakeError):
    """EC2 refused a call for want of permission or of valid credentials."""

    exit_code = 4


class NoCapacity(AmibakeError):
    """EC2 has no room for this instance type here now, or the account's limit is reached."""

    exit_code = 5


class SSHTimeout(AmibakeError):
    """SSH did not answer, or did not let us in, within `ssh_timeout`, or the builder died meanwhile.

    Attributes:
        how: What became of the last attempt: "refused" (TCP), "silent" (TCP was not answered), "unreachable", "closed"
            before a login, "mute" (no SSH), "stuck" (a handshake without end), "denied" (the login), or "other".
    """

    exit_code = 6
    how = "other"


class AuthenticationFailed(AmibakeError):
    """SSH answers, but refuses this user or this key."""

    exit_code = 7


class HostKeyChanged(AmibakeError):
    """The builder showed another SSH host key than the one pinned: somebody is in between, or it is another machine."""

    exit_code = 8


class ConnectionLost(AmibakeError):
    """The SSH connection ended before the remote command did, so what it did is not known.

    Attributes:
        started: Whether the command may have begun; False when the connection was lost before.
    """

    exit_code = 9
    started = True


class UploadFailed(AmibakeError):
    """A file could not be read here or written there."""

    exit_code = 10


class ScriptFailed(AmibakeError):
    """A provisioning script, or a command of our own on the builder, exited with a status that was not allowed.

    Attributes:
        status: Its exit status; -1 when a signal killed it or no status arrived.
        tail: The last lines that it printed.
    """

    exit_code = 11

    def __init__(self, message: str, *, status: int, tail: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.tail = tail

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {line}" for line in self.tail)])


class ImageFailed(AmibakeError):
    """EC2 could not make the image, or it vanished while we waited for it."""

    exit_code = 12


class WaitTimeout(AmibakeError):
    """What was awaited did not happen in time; the message carries the last thing seen.

    Attributes:
        tail: The last lines that it printed, when it was a command on the builder.
    """

    exit_code = 13

    def __init__(self, message: str, *, tail: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.tail = tail

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {line}" for line in self.tail)])


class BakesFailed(AmibakeError, ExceptionGroup[Exception]):
    """Of the bakes of `bake_all` some have failed; the message says which, and what the others have made.

    Attributes:
        exceptions: The errors, in the order of the bakes.
        images: {name of the bake: Image} of those that did not fail.
        leftovers: What all of them could not remove.
    """

    message: str = ""  # a group's own is read-only

    def __new__(cls, message: str, exceptions: Sequence[Exception], **_: Any) -> Self:
        """As a group, made of its message and its exceptions."""
        return super().__new__(cls, message, exceptions)

    def __init__(
        self, message: str, exceptions: Sequence[Exception], *, images: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.images: dict[str, Any] = dict(images or {})
        self.leftovers = tuple(line for error in exceptions for line in getattr(error, "leftovers", ()))

    def derive(self, excs: Sequence[Exception], /) -> BakesFailed:  # type: ignore[override]
        """A part of it, as `except*` wants it."""
        return BakesFailed(self.message, excs, images=self.images)


class SandboxUnavailable(AmibakeError):
    """The local EC2 cannot run here: no container engine, no root, or an address in use."""

    exit_code = 14
