"""LocalCloud: an EC2 on this machine, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from amibake.errors import AmibakeError, InvalidOption
from amibake.sandbox.cache import cache_directory
from amibake.sandbox.mirror.releases import DEFAULT_VERSIONS, parse_version
from amibake.sandbox.owner import Worker

if TYPE_CHECKING:
    import boto3

    from amibake.strict import Delays


class LocalCloud:
    """A local EC2: strict moto answers the API, and every instance is a container with an init, sshd and an address.

        with LocalCloud() as cloud:
            amibake.build_primal(..., session=cloud.session, node_mirror=cloud.node_mirror)

    It lives in a process of its own, and ends with the block, with this process at the latest, however either ends.
    Several may be open at a time. Its catalogue has Debian 12, which `amibake.DEBIAN_12` finds, and
    "debian-12-sysvinit-…", a stand-in for the Debian of the article's time, by that one's id.

    Args:
        region: Where its base AMIs are, and what `session` and `environment` default to.
        delays: What EC2's own slowness adds to the machines'; nothing by default.
        port: Of the endpoint, on 127.0.0.1; 0 for a free one.
        progress: Called with lines of text, from another thread, when something takes its time; they are logged
            (`amibake.sandbox`) without one.
        node_versions: What the mirror of node offers besides the releases that it has kept: versions, or beginnings
            of one for the newest. A release is downloaded when an instance first asks for it.
        engine: "podman"; or "none" for the API alone, which needs no root, with instances that run nothing.

    Raises:
        InvalidOption: An argument is wrong.
        SandboxUnavailable: On entering: no root or sudo, no podman, a port in use, moto not installed…; on leaving:
            something could not be removed.
    """

    def __init__(
        self,
        region: str = "us-east-1",
        *,
        delays: Delays | None = None,
        port: int = 0,
        progress: Callable[[str], None] | None = None,
        node_versions: Sequence[str] = DEFAULT_VERSIONS,
        engine: Literal["podman", "none"] = "podman",
    ) -> None:
        if not 0 <= port < 1 << 16:
            raise InvalidOption(f"port: {port} is not between 0 and 65535")
        self.id = secrets.token_hex(4)
        """Eight hexadecimal digits, which the names of its containers, links and rules carry."""
        self.region = region
        self._key = f"AKIA{secrets.token_hex(8).upper()}"
        self._engine = engine
        self._task = {
            "task": "serve",
            "id": self.id,
            "key": self._key,
            "cache": str(cache_directory()),
            "region": region,
            "port": port,
            "delays": asdict(delays) if delays else {},
            "engine": engine,
            "node_versions": [parse_version(version) for version in node_versions],
        }
        self._progress = progress
        self._worker: Worker | None = None
        self._addresses: dict[str, str] = {}

    def open(self) -> Self:
        """Start it; what entering the `with` block does. `close` ends it."""
        if self._worker:
            raise AmibakeError(f"the local EC2 {self.id} is open already")
        self._worker = Worker(self._task, root=self._engine != "none", progress=self._progress)
        try:
            import amibake.sandbox.session  # noqa: F401 - botocore loads while the process starts

            self._addresses = self._worker.result()
        except BaseException:
            with contextlib.suppress(AmibakeError):
                self.close()
            raise
        return self

    def close(self) -> None:
        """Remove its containers, mounts, networks, rules and processes. Closing it again does nothing."""
        worker, self._worker = self._worker, None
        if worker:
            worker.stop()

    def wait(self) -> None:
        """Wait until it ends by itself, which it does not do unless something is wrong: raises SandboxUnavailable."""
        if self._worker:
            self._worker.result()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except AmibakeError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    @property
    def endpoint_url(self) -> str:
        """Where its API answers: "http://127.0.0.1:PORT"."""
        return self._address("endpoint_url")

    @property
    def node_mirror(self) -> str:
        """The URL of a nodejs.org-style mirror that its instances reach: "http://198.18.7.1/dist"."""
        return self._address("node_mirror")

    @cached_property
    def session(self) -> boto3.Session:
        """A boto3.Session whose clients, of whatever service and region, speak to this cloud."""
        from amibake.sandbox.session import local_session

        return local_session(self.endpoint_url, self.region, self._key)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which other programs find this cloud: AWS_ENDPOINT_URL, fake credentials, the region."""
        from amibake.sandbox.session import local_environment

        return local_environment(self.endpoint_url, self.region, self._key)

    def _address(self, name: str) -> str:
        if name not in self._addresses:
            raise AmibakeError("the local EC2 has no address yet", hint="use it inside `with LocalCloud() as cloud:`")
        return self._addresses[name]
