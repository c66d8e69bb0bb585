"""One local EC2, from its first resource to its last: what the serving process does."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from amibake.builder.source import WHEEZY
from amibake.errors import SandboxUnavailable
from amibake.sandbox.api import listen
from amibake.sandbox.base import BASES, Kind, ensure_base
from amibake.sandbox.cache import CloudDirectory
from amibake.sandbox.children import end_children
from amibake.sandbox.mirror.http import NodeMirror
from amibake.sandbox.mirror.store import NodeStore

if TYPE_CHECKING:
    from amibake.sandbox.engines import Engine, EngineName
    from amibake.strict import StrictEC2

DEBIAN = "136693071363"
"""The account in which Debian publishes its images."""
_BASE_NAMES: Mapping[Kind, str] = {"systemd": "debian-12", "sysvinit": "debian-12-sysvinit"}


@dataclass(frozen=True)
class CloudOptions:
    """What makes one local EC2 differ from another, as plain values that go from process to process.

    Attributes:
        key: The access key that its API takes.
        delays: The keywords of `amibake.strict.Delays`.
        engine: "podman", or "none" for instances that run nothing.
    """

    id: str
    key: str
    cache: str
    region: str
    port: int
    delays: Mapping[str, float]
    engine: EngineName
    node_versions: Sequence[str]


@dataclass(frozen=True)
class Addresses:
    """Where a local EC2 is found."""

    endpoint_url: str
    node_mirror: str


def serve(
    options: CloudOptions,
    progress: Callable[[str], None],
    wait: Callable[[Addresses], None],
    uninterrupted: Callable[[], None],
) -> None:
    """Set a cloud up, `wait` until that returns or raises, and remove every trace of it; `uninterrupted` is called
    before anything is undone.

    Raises:
        SandboxUnavailable: It cannot run here.
        AmibakeError: Something could not be removed. The cloud's directory stays then, for `clean` to find.
    """
    with ExitStack() as undo:
        try:
            _live(undo, options, progress, wait)
        except BaseException:
            uninterrupted()
            raise


def _live(
    undo: ExitStack, options: CloudOptions, progress: Callable[[str], None], wait: Callable[[Addresses], None]
) -> None:
    cache = Path(options.cache)
    listening = listen(options.port)
    undo.callback(listening.close)
    directory = CloudDirectory.create(cache, options.id)
    undo.callback(directory.remove)
    pool = ThreadPoolExecutor()
    # Not awaited: a thread may wait for a lock that another process holds for long, and this one ends by _exit.
    undo.callback(pool.shutdown, wait=False, cancel_futures=True)
    undo.callback(end_children)
    make: dict[Kind, Callable[[], Path]] = {
        kind: partial(ensure_base, kind, cache / "bases", progress=progress) for kind in BASES
    }
    if options.engine != "none":
        make["systemd"] = pool.submit(make["systemd"]).result  # apt thinks as long as the imports below take

    from amibake.sandbox.api import ApiServer
    from amibake.sandbox.engines import make_engine
    from amibake.sandbox.living import announce
    from amibake.sandbox.metadata.books import Books
    from amibake.strict import Delays, StrictEC2

    engine = make_engine(options.engine, options.id, directory.path / "engine")
    mirror = undo.enter_context(NodeMirror(NodeStore(cache / "node", progress), options.node_versions, progress))
    strict = undo.enter_context(StrictEC2(engine, delays=Delays(**options.delays)))
    undo.callback(end_children)  # those of machines' threads, which the strict EC2 waits for
    undo.callback(_remove, engine, directory)
    engine.open()
    try:
        images = {kind: _register(strict, kind, options.region) for kind in BASES}
    except KeyError as error:  # moto's way to say so
        raise SandboxUnavailable(f"there is no region {options.region!r}", hint="name one of AWS's") from error
    for kind, image_id in images.items():
        engine.add_lazy_base(image_id, make[kind])
    engine.make_base(images["systemd"])
    engine.offer_metadata(Books(strict))
    node_mirror = mirror.start(engine.gateway, engine.mirror_port)
    server = undo.enter_context(ApiServer(listening, options.key))
    facts = {"id": options.id, "key": options.key, "region": options.region, "engine": options.engine}
    announce(directory.path, **facts, endpoint_url=server.url, node_mirror=node_mirror)
    wait(Addresses(server.url, node_mirror))


def _remove(engine: Engine, directory: CloudDirectory) -> None:
    try:
        engine.close()
    except BaseException:
        directory.release()
        raise


def _register(strict: StrictEC2, kind: Kind, region: str) -> str:
    """Put a base AMI into the catalogue, under the name that Debian's own would have."""
    now = datetime.now(UTC)
    architecture = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    debian_architecture = {"x86_64": "amd64"}.get(architecture, architecture)
    return strict.add_image(
        name=f"{_BASE_NAMES[kind]}-{debian_architecture}-{now:%Y%m%d-%H%M}",
        image_id=WHEEZY if kind == "sysvinit" else None,  # for which it stands
        owner_id=DEBIAN,
        architecture=architecture,
        root_device_name="/dev/xvda",
        creation_date=now,
        description=BASES[kind].description,
        region=region,
    )
