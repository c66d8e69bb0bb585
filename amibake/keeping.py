"""The builder of a failed bake, kept for a look, and taken up again by another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import found_by_tag
from amibake.errors import AmibakeError, InvalidOption
from amibake.image import EXPIRES
from amibake.login import Launched
from amibake.ssh.keys import KeyPair, load_key_pair


class Keeper:
    """Sees to it that the builder, and all that it takes to get in, outlives a failure, from `keep` on until it is
    `released`. An interrupt is no failure."""

    def __init__(self, cloud: Cloud, builder: Builder, *, wanted: bool) -> None:
        self._cloud = cloud
        self._builder = builder
        self._wanted = wanted
        self._launched: Launched | None = None

    def keep(self, launched: Launched, temporary: ExitStack) -> None:
        """From now on; `temporary` is what would remove it."""
        self._launched = launched
        temporary.push(self._on_exit)

    def released(self) -> None:
        """It is sealed: nobody gets in any more."""
        self._wanted = False

    def _on_exit(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if self._wanted and isinstance(error, Exception):
            self._cloud.ledger.kept = []
        return False

    def say(self, error: Exception) -> None:
        """Tell how to get in, until when, how to go on, and how to remove it."""
        ledger, launched = self._cloud.ledger, self._launched
        if ledger.kept is None or launched is None:
            return
        ledger.leftovers += ledger.kept
        ledger.kept = None
        file = key_file(self._cloud.build)
        if launched.key is not None:
            write_key(launched.key, file)
        with_key = f" -i {file}" if launched.key else ""
        until = datetime.fromtimestamp(int(self._cloud.marks[EXPIRES]), UTC)
        builder = self._builder
        text = (
            f"The builder {launched.machine.id} is kept, until {until:%Y-%m-%d %H:%M} UTC at least:\n"
            f"  ssh{with_key} -p {builder.ssh_port} {builder.ssh_username}@{launched.address}\n"
            f"Go on with it: bake(…, resume={self._cloud.build!r}). Remove it: the commands in the error's leftovers."
        )
        if isinstance(error, AmibakeError):
            error.hint = "\n".join(filter(None, [error.hint, text]))
        else:
            error.add_note(text)


@contextmanager
def keeping(cloud: Cloud, builder: Builder, *, wanted: bool) -> Iterator[Keeper]:
    """A keeper for one bake."""
    keeper = Keeper(cloud, builder, wanted=wanted)
    try:
        yield keeper
    except Exception as error:
        keeper.say(error)
        raise


def key_file(build: str) -> Path:
    """Where the private key to a kept builder is: in the directory that the program runs in."""
    return Path(f"amibake-{build}.pem")


def write_key(key: KeyPair, file: Path) -> None:
    """Write the private half so that only its owner can read it."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600, exist_ok=False)
    file.write_bytes(key.private)


def key_of(build: str) -> KeyPair:
    """The key to a kept builder.

    Raises:
        InvalidOption: it is not here.
    """
    try:
        return load_key_pair(key_file(build))
    except ValueError as error:
        raise InvalidOption(f"resume: the key to the builder: {error}") from error


def check_resumable(cloud: Cloud) -> None:
    """Raises InvalidOption unless there is a running builder of this cloud's build."""
    states = {one["InstanceId"]: one["State"]["Name"] for one in found_by_tag(cloud)}
    if "running" not in states.values():
        seen = ", ".join(f"{name} is {state}" for name, state in states.items()) or "there is none"
        raise InvalidOption(f"resume: no builder of build {cloud.build} is running in {cloud.region}: {seen}")
