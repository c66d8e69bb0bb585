"""`bakery` for the truth: the same to look at, while the builders are containers of the sandbox.

What is sent up and run is written down on this side, as the provisioners hand it to the host; what EC2 is asked, where
botocore sends it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import URLLib3Session

from amibake.events import Output
from amibake.host import Completed
from amibake.secret import revealed
from amibake.ssh.host import SSHHost
from amibake.ssh.local import look_at, scan
from amibake.strict.record import Record
from amibake.testing.baked import Machine, Prepared
from amibake.testing.behaviour import Answer, Behaviour, Ran, uploaded_script
from amibake.testing.looking import Looking

if TYPE_CHECKING:
    from amibake.sandbox import LocalCloud

_REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/ec2/")


@dataclass
class _Seen:
    """What was done on one builder. Implements `amibake.testing.baked.Machine`."""

    root: Path
    username: str
    ran: list[Ran] = field(default_factory=list)

    def upload(self, path: str) -> Path:
        """Where a copy of it is."""
        inside = path if path.startswith("/") else f"/home/{self.username}/{path}"
        return self.root / inside.lstrip("/")

    def keep(self, source: Path | bytes, destination: str, exclude: Any) -> None:
        """Copy what is sent up."""
        place = self.upload(destination)
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            place.write_bytes(source)
        elif not source.is_dir():
            shutil.copy2(source, place)
        else:
            place.mkdir(exist_ok=True)
            for entry in scan(look_at(os.fspath(source), "", os.stat), exclude):
                if Path(entry.path).is_dir() and not Path(entry.path).is_symlink():
                    (place / entry.name).mkdir(exist_ok=True)
                else:
                    (place / entry.name).unlink(missing_ok=True)  # a link is made only where there is none
                    shutil.copy2(entry.path, place / entry.name, follow_symlinks=False)

    def script(self, command: str) -> str:
        """The text of the uploaded file that this command names, if it does."""
        return uploaded_script(command, self.upload)


class _Prepared(Prepared):
    def drops_connection(self) -> NoReturn:
        """Not here."""
        raise AttributeError("drops_connection() is in process only, not with @pytest.mark.sandbox")


class SandboxBakery(Looking):
    """A `Bakery` whose builders are containers: scripts really run, and time really passes.

    A script whose end is prepared is not run. Where node would come from outside, it comes from the sandbox's own
    mirror. Faults and lost connections there are in process only.
    """

    def __init__(self, cloud: LocalCloud, directory: Path) -> None:
        super().__init__()
        self._record = Record()
        self.calls = self._record.requests
        self.session = cloud.session
        self._cloud = cloud
        self._directory = directory
        self._behaviour = Behaviour()
        self._seen: dict[str, _Seen] = {}
        with self._looking():
            self._known = {image.id for image in self.images} | set(self.leftovers)

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("fault", "drops_connection", "clock", "place", "add_image", "add_baked_image"):
            raise AttributeError(f"bakery.{name} is in process only, not with @pytest.mark.sandbox")
        raise AttributeError(name)

    def script(self, name: str) -> Prepared:
        """Says how a script is to end, before it is run: see `Looking.script`."""
        return _Prepared(self._behaviour, name)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Write down what is done meanwhile."""
        put, run, send = SSHHost.put, SSHHost.run, URLLib3Session.send

        def putting(host: SSHHost, source: Path | bytes, destination: str, **how: Any) -> None:
            put(host, source, destination, **how)
            self._of(host).keep(source, destination, how.get("exclude", ()))

        def running(host: SSHHost, command: str, **how: Any) -> Completed:
            return self._run(host, command, how, lambda given: run(host, command, **given))

        def sending(self_: URLLib3Session, request: AWSPreparedRequest) -> Any:
            self._note(request)
            return send(self_, request)

        with (
            mock.patch.object(SSHHost, "put", putting),
            mock.patch.object(SSHHost, "run", running),
            mock.patch.object(URLLib3Session, "send", sending),
        ):
            yield

    def _run(self, host: SSHHost, command: str, how: dict[str, Any], run: Callable[[Any], Completed]) -> Completed:
        seen, given = self._of(host), how.get("environment") or {}
        plain = {name: revealed(value) for name, value in given.items()}
        sudo = bool(how.get("sudo", False))
        ran = Ran(command, how.get("input", b""), plain, seen.script(command), sudo, seen.username)
        if not how.get("capture"):
            seen.ran.append(ran)
            answer = self._behaviour.answer(ran)
            if answer is not None and answer.runs is None:
                return _answered(host, ran, answer)
        if given.get("NODE_SOURCE") == "nvm" and not given.get("NODE_MIRROR"):
            how["environment"] = {**given, "NODE_SOURCE": "tarball", "NODE_MIRROR": self._cloud.node_mirror}
        done = run(how)
        ran.status = done.status
        return done

    def _of(self, host: SSHHost) -> _Seen:
        name = host.data.get("ID", host.data["Host"])
        return self._seen.setdefault(name, _Seen(self._directory / name, host.data["User"]))

    def _note(self, request: AWSPreparedRequest) -> None:
        where = _REGION.search(_text(request.headers.get("Authorization", "")))
        if where is None or self._looks:
            return
        query = urllib.parse.parse_qs(_text(request.body or b""))  # type: ignore[arg-type] # never a stream
        self._record.record(where[1], query.get("Action", [""])[0], query)

    def _builder(self, instance_id: str) -> tuple[int, Machine] | None:
        found = self._seen.get(instance_id)
        return (list(self._seen).index(instance_id), found) if found else None


def _answered(host: SSHHost, ran: Ran, answer: Answer) -> Completed:
    if answer.does:
        answer.does()
    for line in answer.stdout.splitlines():
        host.emit(Output("stdout", line))
    for line in answer.stderr.splitlines():
        host.emit(Output("stderr", line))
    ran.status = answer.status
    tail = (*answer.stdout.splitlines(), *answer.stderr.splitlines())[-20:]
    return Completed(answer.status, answer.stdout, answer.stderr, tail)


def _text(said: str | bytes) -> str:
    return said.decode() if isinstance(said, bytes) else str(said)


@contextmanager
def in_sandbox(cloud: LocalCloud) -> Iterator[SandboxBakery]:
    """A bakery in this cloud for as long as the block lasts: everything of boto3's leads there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (
        tempfile.TemporaryDirectory(prefix="amibake-") as directory,
        mock.patch.dict(os.environ, {**environment, **cloud.environment}, clear=True),
        mock.patch("boto3.DEFAULT_SESSION", None),
    ):
        here = SandboxBakery(cloud, Path(directory))
        with here.watching():
            yield here
