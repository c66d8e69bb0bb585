"""What runs the instances of a local EC2."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from amibake.sandbox.metadata.service import MetadataService
from amibake.sandbox.metadata.tree import Metadata
from amibake.sandbox.podman import PodmanEngine
from amibake.sandbox.requirements import check_requirements
from amibake.strict.imaginary import ImaginaryMachines
from amibake.strict.machines import Launch, Machines

Books = Callable[[Launch, str], Metadata | None]
"""Answers with the metadata of an instance, given how it was launched and the address of its machine."""
EngineName = Literal["podman", "none"]


class Engine(Machines, Protocol):
    """Machines of one cloud that have to be set up and taken down.

    Attributes:
        gateway: This host's address that the machines reach, once the engine is open.
        mirror_port: The port there for the mirror of node releases; 0 for any.
    """

    mirror_port: int

    @property
    def gateway(self) -> str: ...

    def open(self) -> None:
        """Make ready; raises SandboxUnavailable when this host cannot run machines."""

    def add_lazy_base(self, image_id: str, make: Callable[[], Path]) -> None:
        """Let an image's disk be the root file system that `make` answers with, called when it is first needed."""

    def make_base(self, image_id: str) -> None:
        """Call that image's `make` now, if it has not been called yet."""

    def offer_metadata(self, books: Books) -> None:
        """Let the machines ask for their metadata, from an open engine's first machine on until it is closed."""

    def close(self) -> None:
        """Remove every trace; raises AmibakeError when something cannot be removed."""


class Podman(PodmanEngine):
    """Containers, whose base images are made when they are first needed."""

    mirror_port = 80

    def __init__(self, cloud_id: str, root: Path) -> None:
        super().__init__(cloud_id, root)
        self._making = threading.Lock()
        self._makers: dict[str, Callable[[], Path]] = {}
        self._metadata: MetadataService | None = None

    def add_lazy_base(self, image_id: str, make: Callable[[], Path]) -> None:
        self._makers[image_id] = make

    def make_base(self, image_id: str) -> None:
        if image_id not in self._makers:
            return
        with self._making:
            if make := self._makers.get(image_id):
                self.add_base(image_id, make())
                del self._makers[image_id]

    def run(self, launch: Launch) -> str:
        self.make_base(launch.image_id)
        return super().run(launch)

    def offer_metadata(self, books: Books) -> None:
        def look_up(address: str) -> Metadata | None:
            launch = self.launch_at(address)
            return books(launch, address) if launch else None

        self._metadata = MetadataService(look_up)
        self._network.redirect_metadata(self._metadata.start(self.gateway))

    def close(self) -> None:
        if self._metadata:
            self._metadata.close()
        super().close()


class NoContainers(ImaginaryMachines):
    """Instances change state but run nothing: the API alone, which needs neither root nor podman."""

    gateway = "127.0.0.1"
    mirror_port = 0

    def open(self) -> None:
        """Nothing to make ready."""

    def add_lazy_base(self, image_id: str, make: Callable[[], Path]) -> None:
        """Nothing will be booted from it."""

    def make_base(self, image_id: str) -> None:
        """Nothing will be booted from it."""

    def offer_metadata(self, books: Books) -> None:
        """Nobody will ask."""

    def close(self) -> None:
        """Nothing to remove."""


def make_engine(name: EngineName, cloud_id: str, root: Path) -> Engine:
    """The engine of that name for a cloud, not open yet; `root` is a directory for what it keeps.

    Raises:
        SandboxUnavailable: This machine lacks what the engine needs.
    """
    if name == "none":
        return NoContainers()
    check_requirements()
    return Podman(cloud_id, root)
