"""A strict EC2 in this process that other processes reach over HTTP and SSH, and that says when something happens.

Each child works in a region of its own, by which its calls are told from those of others.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from amibake.sandbox.session import local_session
from amibake.strict import Delays, StrictEC2
from amibake.strict.machines import Launch
from amibake.testing import Behaviour, LoopbackMachine, LoopbackMachines
from tests.account import temporary

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

REGIONS = ("us-east-1", "eu-west-1")
"""So many children at once."""

DELAYS = Delays(running=0.1, stopped=0.1, terminated=0.1, available=0.5)

Call = Callable[[str, str], object]
"""Called with a region and an action."""


class AtOnce:
    """Does the machines' work within the call that asks for it."""

    def submit(self, do: Callable[[], None], /) -> None:
        do()


class Refusing(Behaviour):
    """Tells how many connections are still to be refused whenever that changes."""

    tell: Callable[[int], object] = staticmethod(lambda _: None)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "refuse_connections":
            self.tell(value)


class Machines(LoopbackMachines):
    """Machines of several regions, those of each with a behaviour of their own; `on_input` is told of the bytes of a
    command's input as they arrive, and at which machine."""

    def __init__(self, directory: Path, *, port: int) -> None:
        super().__init__(directory, port=port)
        self.regions: dict[str, str] = {}
        """Of each source image."""
        self.behaviours: dict[str, Refusing] = {}
        self.on_input: dict[str, Callable[[LoopbackMachine, int], object]] = {}
        self.newest_of: dict[str, LoopbackMachine] = {}

    def run(self, launch: Launch) -> str:
        address = super().run(launch)
        region, machine = self.regions.get(launch.image_id, ""), self.all[launch.instance_id]
        machine.behaviour = self.behaviours.setdefault(region, Refusing())
        self.newest_of[region] = machine
        plain = machine._count

        def count(received: int) -> int | None:
            if tell := self.on_input.get(region):
                tell(machine, received)
            return plain(received)

        machine._count = count  # type: ignore[method-assign]
        return address


class WatchedEC2(StrictEC2):
    """Tells of every call as it arrives (`arrived`), and notes when that was."""

    def __init__(self, machines: Machines, **options: Any) -> None:
        super().__init__(machines, **options)
        self.arrived: dict[str, Call] = {}
        self.answered: dict[str, Call] = {}
        self.times: list[tuple[str, str, float]] = []
        self.ahead = 0.0
        """Seconds by which its date is ahead of this machine's."""
        self._under_way: Counter[str] = Counter()
        self._changed = threading.Condition()

    def record(self, region: str, action: str, query: Mapping[str, Sequence[str]]) -> None:
        super().record(region, action, query)
        self.times.append((region, action, time.monotonic()))
        _last.call = (region, action)
        with self._changed:
            self._under_way[region] += 1
        if tell := self.arrived.get(region):
            tell(region, action)

    def over(self, region: str) -> None:
        """A call has been answered, or can't be."""
        with self._changed:
            self._under_way[region] -= 1
            self._changed.notify_all()

    def settle(self, region: str) -> None:
        """Wait until no call is under way: one whose caller was killed still is for a moment."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._under_way[region], 30)


class _Last(threading.local):
    call: tuple[str, str] | None = None


_last = _Last()
"""The call that a thread of the server is at."""


class Served:
    """What a test gets: `ec2` and the `machines`, and where they are found."""

    def __init__(self, ec2: WatchedEC2, machines: Machines, url: str, port: int, images: Mapping[str, str]) -> None:
        self.ec2 = ec2
        self.machines = machines
        self.url = url
        self.port = port
        self.images = images

    def environment(self, region: str) -> dict[str, str]:
        """What a child needs to be told, to use this in a region."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1",
        }

    def session(self, region: str) -> boto3.Session:
        """For the parent."""
        return local_session(self.url, region, "test")

    def client(self, region: str) -> EC2Client:
        """For looking into the account."""
        client: EC2Client = self.session(region).client("ec2")
        return client

    def temporary(self, region: str) -> set[str]:
        """What there is in a region that a bake makes only for a while, but for what was there before."""
        return temporary(self.client(region))

    def forget(self, region: str) -> None:
        """Remove the images of a region that have been published."""
        client = self.client(region)
        for image in client.describe_images(Owners=["self"])["Images"]:
            client.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)


@contextmanager
def served(directory: Path, *, regions: Collection[str] = REGIONS, **options: Any) -> Iterator[Served]:
    """Serve on loopback while the block lasts; `options` are those of StrictEC2."""
    port = _free_port()
    with ExitStack() as undo:
        machines = Machines(directory, port=port)
        undo.enter_context(closing(machines))
        ec2 = undo.enter_context(WatchedEC2(machines, executor=AtOnce(), **{"delays": DELAYS, **options}))
        images = {
            region: ec2.add_image(name="debian-12-amd64-20250316-2053", owner_id="136693071363", region=region)
            for region in regions
        }
        machines.regions = {image: region for region, image in images.items()}
        environment = {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}
        undo.enter_context(mock.patch.dict("os.environ", environment))
        url = undo.enter_context(_listening(ec2))
        yield Served(ec2, machines, url, port, images)


@contextmanager
def _listening(ec2: WatchedEC2) -> Iterator[str]:
    application = DomainDispatcherApplication(create_backend_app)

    def watched(environ: Any, start_response: Any) -> Iterable[bytes]:
        _last.call = None
        answer = application(environ, start_response)
        return _Answer(answer, ec2, _last.call)

    def run_wsgi(handler: MotoRequestHandler) -> None:
        """Whatever becomes of the answer, and of who waited for it: the body of one is not always closed."""
        try:
            MotoRequestHandler.run_wsgi(handler)
        finally:
            if _last.call:
                ec2.over(_last.call[0])
            _last.call = None

    def date(_: Any, __: float | None = None) -> str:
        return formatdate(time.time() + ec2.ahead, usegmt=True)

    ours = {"disable_nagle_algorithm": True, "log": lambda *_: None, "date_time_string": date, "run_wsgi": run_wsgi}
    handler = type("Handler", (MotoRequestHandler,), ours)
    server = make_server("127.0.0.1", 0, watched, threaded=True, request_handler=handler)
    server.daemon_threads = True  # type: ignore[attr-defined] # of the threaded one
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="api")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Answer:
    """The body of an answer; once it is sent, that is told."""

    def __init__(self, answer: Iterable[bytes], ec2: WatchedEC2, call: tuple[str, str] | None) -> None:
        self._answer = answer
        self._ec2 = ec2
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        if hasattr(self._answer, "close"):
            self._answer.close()
        if self._call and (tell := self._ec2.answered.get(self._call[0])):
            tell(*self._call)


def _free_port() -> int:
    """One that no address of 127.77.0.0/16 uses, as far as it can be told."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
