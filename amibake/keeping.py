"""The builder of a failed bake, kept for a look, and taken up again by another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud, is_build
from amibake.ec2.instance import found_by_tag
from amibake.ec2.lookup import Plan
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
        """It is sealed, or about to be: nobody gets in any more."""
        self._wanted = False

    def _on_exit(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        file = key_file(self._cloud.build)
        if self._wanted and isinstance(error, Exception) and self._key_is_written(file):
            self._cloud.ledger.kept = []
        else:
            with suppress(OSError):  # where nothing can be removed, it was not written either
                file.unlink(missing_ok=True)  # of what is removed now
        return False

    def _key_is_written(self, file: Path) -> bool:
        """A builder that nobody could get into is not kept."""
        key = self._launched.key if self._launched else None
        try:
            if key is not None:
                write_key(key, file)
        except OSError as error:
            self._cloud.ledger.warn(f"the builder is not kept: its key can't be written to {file}: {error.strerror}")
            return False
        return True

    def say(self, error: Exception) -> None:
        """Tell how to get in, until when, how to go on, and how to remove it."""
        ledger, launched = self._cloud.ledger, self._launched
        if ledger.kept is None or launched is None:
            return
        ledger.leftovers += ledger.kept
        ledger.kept = None
        if launched.key is not None:
            file = key_file(self._cloud.build)
            ledger.leftovers.append(f"private key {file} is kept; remove it with: rm {file}")
        until = datetime.fromtimestamp(int(self._cloud.marks[EXPIRES]), UTC)
        text = (
            f"The builder {launched.machine.id} is kept, until {until:%Y-%m-%d %H:%M} UTC at least:\n"
            f"  {self._command(launched)}\n"
            f"Go on with it: bake(…, resume={self._cloud.build!r}). Remove it: the commands in the error's leftovers."
        )
        if launched.host_key is not None:
            text += f"\nIts SSH host key, for ssh_host_key then: {launched.host_key.public!r}"
        if isinstance(error, AmibakeError):
            error.hint = "\n".join(filter(None, [error.hint, text]))
        else:
            error.add_note(text)

    def _command(self, launched: Launched) -> str:
        """OpenSSH's command line for getting in."""
        builder, words = self._builder, ["ssh"]
        own = str(key_file(self._cloud.build)) if launched.key else builder.ssh_private_key_file
        if own is not None:
            words += ["-i", str(own)]
        if builder.ssh_bastion_host is not None:
            user = builder.ssh_bastion_username or builder.ssh_username
            words += ["-J", f"{user}@{builder.ssh_bastion_host}:{builder.ssh_bastion_port}"]
        if builder.ssh_proxy_command is not None:
            words += ["-o", "ProxyCommand=…"]  # it may hold a secret
        return " ".join([*words, "-p", str(builder.ssh_port), f"{builder.ssh_username}@{launched.address}"])


@contextmanager
def keeping(cloud: Cloud, builder: Builder, *, wanted: bool) -> Iterator[Keeper]:
    """A keeper for one bake."""
    keeper = Keeper(cloud, builder, wanted=wanted)
    try:
        yield keeper
    except Exception as error:
        keeper.say(error)
        raise


def keeping_mistakes(builder: Builder, on_error: object, resume: object) -> Iterator[str]:
    """What is wrong with these two arguments of `bake`."""
    if on_error not in ("cleanup", "keep"):
        yield f'on_error: "cleanup" or "keep", not {on_error!r}'
    if on_error == "keep" and builder.communicator == "none":
        yield 'on_error: there is no way to a kept builder with communicator="none"'
    if resume is not None and builder.ssh_host_key == "inject":
        yield 'ssh_host_key: "inject" is for launching; to resume, give the key itself: the error had it'
    if resume is not None and not is_build(resume):
        yield f"resume: the id of a bake, 16 hex digits, not {resume!r}"


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


def check_resumable(cloud: Cloud, plan: Plan) -> None:
    """See to it that what a bake goes on with is what its options name.

    Raises:
        InvalidOption: there is no running builder of this cloud's build, or it is not of the image, the type or the
            subnet that the options name.
    """
    found = found_by_tag(cloud)
    running = [one for one in found if one["State"]["Name"] == "running"]
    if not running:
        seen = ", ".join(f"{one['InstanceId']} is {one['State']['Name']}" for one in found) or "there is none"
        raise InvalidOption(f"resume: no builder of build {cloud.build} is running in {cloud.region}: {seen}")
    (builder, *_), subnets = running, plan.network.subnet_ids
    facts = {
        "source_ami": (builder["ImageId"], (plan.source.id,)),
        "instance_type": (builder["InstanceType"], plan.builder.instance_types),
        "subnet_id": (builder.get("SubnetId", ""), subnets or (builder.get("SubnetId", ""),)),
    }
    mistakes = [
        f"{option}: {' or '.join(wanted)}, but the builder to resume, {builder['InstanceId']}, has {has}"
        for option, (has, wanted) in facts.items()
        if has not in wanted
    ]
    if mistakes:
        raise InvalidOption(*mistakes)
