"""The local EC2s that live on this machine: each says in its directory where it is found, for as long as it lives."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amibake.errors import AmibakeError, InvalidOption, SandboxUnavailable
from amibake.sandbox.cache import cache_directory, locked
from amibake.sandbox.containers import Containers
from amibake.sandbox.owner import Worker, as_root

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient

_FILE = "cloud.json"
_PATIENCE = 20.0
"""Seconds that one may take to answer."""


@dataclass(frozen=True)
class Living:
    """One of them.

    Attributes:
        id: Its id.
        key: The access key that its API takes.
        region: Where its base images are.
        engine: "podman" or "none".
        endpoint_url: Where its API answers.
        node_mirror: Where its instances find node.
        pid: The process that serves it.
        since: When that was ready, in seconds since 1970.
    """

    id: str
    key: str
    region: str
    engine: str
    endpoint_url: str
    node_mirror: str
    pid: int
    since: float

    @property
    def session(self) -> boto3.Session:
        """A boto3.Session whose clients speak to it."""
        from amibake.sandbox.session import local_session

        return local_session(self.endpoint_url, self.region, self.key)

    def instances(self) -> list[dict[str, Any]]:
        """What its API says of its instances that are not terminated.

        Raises:
            SandboxUnavailable: it does not answer, since it is about to end, say.
        """
        with self._answering() as ec2:
            reservations = ec2.describe_instances()["Reservations"]
        found: list[dict[str, Any]] = [dict(one) for reservation in reservations for one in reservation["Instances"]]
        return [one for one in found if one["State"]["Name"] != "terminated"]

    def console(self, instance_id: str) -> str:
        """What an instance's console shows. Raises SandboxUnavailable when the cloud does not answer."""
        with self._answering() as ec2:
            answer = ec2.get_console_output(InstanceId=instance_id, Latest=True)
        return str(answer.get("Output", ""))

    @contextmanager
    def _answering(self) -> Iterator[Any]:
        """A client that asks once, and says that there was no answer in words of ours."""
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        once = Config(connect_timeout=_PATIENCE, read_timeout=_PATIENCE, retries={"total_max_attempts": 1})
        client: BaseClient = self.session.client("ec2", config=once)
        try:
            yield client
        except (BotoCoreError, ClientError) as error:
            raise SandboxUnavailable(
                f"sandbox {self.id}, process {self.pid}, does not answer as it should: {error}",
                hint="it may be about to end: amibake sandbox list shows what there is",
            ) from error

    def shell(self, instance_id: str, user: str, command: str | None, *, terminal: bool) -> list[str]:
        """The command line that gives a user's shell on an instance, or runs a command in it. It takes no key."""
        # podman takes its storage by another path for another one
        root = cache_directory().resolve() / "clouds" / self.id / "engine"
        containers = Containers(self.id, root / "containers")
        run = ["--command", command] if command is not None else []
        return [*as_root(), *containers.within(instance_id, "su", "--login", user, *run, terminal=terminal)]


def announce(directory: Path, **facts: Any) -> None:
    """Say, in a cloud's directory, that it lives: its facts, but for the process and the moment. For its owner only."""
    living = Living(pid=os.getpid(), since=time.time(), **facts)
    file = directory / _FILE
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(living)))


def look(cache: Path) -> list[dict[str, Any]]:
    """What those that live have announced there; of those that the caller may look at."""
    found = []
    clouds = cache / "clouds"
    for directory in sorted(clouds.glob("*/")):
        with contextlib.suppress(OSError, ValueError), locked(clouds / ".lock"):
            if _is_alive(directory):
                found.append(json.loads((directory / _FILE).read_text()))
    return found


def find_living() -> list[Living]:
    """All of them of this user's, root's own included where it takes root to look.

    Raises:
        SandboxUnavailable: it takes root, and there is no sudo.
    """
    cache = cache_directory()
    clouds = cache / "clouds"
    if not clouds.is_dir():
        return []
    if _may_look(clouds):
        found = look(cache)
    else:
        worker = Worker({"task": "list", "cache": str(cache)}, root=True, progress=None)
        try:
            found = worker.result()["clouds"]
        finally:
            with contextlib.suppress(AmibakeError):  # what went wrong was in the result
                worker.stop()
    return [Living(**one) for one in found]


def of_instance(instance_id: str) -> tuple[Living, Mapping[str, Any]]:
    """The cloud that an instance is in, and what that says of it.

    Raises:
        InvalidOption: none of those that live has it.
        SandboxUnavailable: none of those that answer has it.
    """
    living = find_living()
    silent: SandboxUnavailable | None = None
    for cloud in living:
        try:
            instances = cloud.instances()
        except SandboxUnavailable as error:
            silent = error
            continue
        for instance in instances:
            if instance["InstanceId"] == instance_id:
                return cloud, instance
    if silent:
        raise silent
    there = "amibake sandbox list shows what there is" if living else "no sandbox is up: amibake sandbox up"
    raise InvalidOption(f"instance: no sandbox here has {instance_id}", hint=there)


def _may_look(clouds: Path) -> bool:
    """Whether that takes no root: those with containers are root's."""
    return all(os.access(directory, os.R_OK | os.X_OK) for directory in clouds.glob("*/"))


def _is_alive(directory: Path) -> bool:
    """Whether a process holds its lock."""
    with (directory / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
