"""Disks as overlay layers: an image is a list of directories, and an instance writes to one of its own on top.

CreateImage keeps an instance's layer as it lies there and gives the instance a new one, so it takes the same few
milliseconds for a kilobyte and for a gigabyte. Layers have short names and are named relative to their directory
because mount(2) takes one page of options: some 500 generations fit.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from pathlib import Path

from amibake.errors import AmibakeError
from amibake.sandbox.commands import CommandFailed, run
from amibake.sandbox.trees import remove_tree

# util-linux from 2.39 on sets each option by fsconfig(2), which cuts values at 256 bytes
_MOUNT_ENVIRONMENT = {"LIBMOUNT_FORCE_MOUNT2": "always"}


@dataclass
class _Disk:
    upper: str
    lowers: tuple[str, ...]


class Layers:
    """The disks of one cloud, in one directory. May be used from several threads at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._names = itertools.count(1)
        self._images: dict[str, tuple[str, ...]] = {}
        self._disks: dict[str, _Disk] = {}

    def open(self) -> None:
        """Make the directory. Raises CommandFailed where the kernel or the file system below cannot do overlays."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for name in ("lower", "upper", "upper.work", "probe"):
            (self._directory / name).mkdir()
        self._mount(_Disk("upper", ("lower",)), self._directory / "probe")
        self.unmount(self._directory / "probe")
        for name in ("lower", "upper", "upper.work", "probe"):
            remove_tree(self._directory / name)

    def add_base(self, image_id: str, rootfs: Path) -> None:
        """Make an existing directory, which is never written to, the disk of an image."""
        with self._lock:
            name = f"b{next(self._names)}"
            (self._directory / name).symlink_to(rootfs.resolve(strict=True))
            self._images[image_id] = (name,)

    def create_disk(self, disk_id: str, image_id: str) -> None:
        """A new disk with an image's content. Raises AmibakeError where there is no such image."""
        with self._lock:
            if image_id not in self._images:
                raise AmibakeError(f"the sandbox has no disk for the image {image_id}")
            self._disks[disk_id] = _Disk(self._new_layer(), self._images[image_id])

    def mount(self, disk_id: str, target: Path) -> None:
        """Mount a disk, which must not be mounted now, where its machine will have its root."""
        disk = self._disks[disk_id]
        work = self._directory / f"{disk.upper}.work"
        remove_tree(work, ignore_errors=True)  # holds the mark by which `volatile` refuses to be mounted again
        work.mkdir()
        target.mkdir(parents=True, exist_ok=True)
        self._mount(disk, target)

    def unmount(self, target: Path) -> None:
        """Unmount a disk; where something still uses it, it vanishes as soon as that ends."""
        try:
            run("umount", target)
        except CommandFailed:
            run("umount", "--lazy", target)

    def create_image(self, disk_id: str, image_id: str) -> int:
        """Keep an unmounted disk as an image's; answers with the bytes that it takes beyond the image it came from."""
        with self._lock:
            disk = self._disks[disk_id]
            kept = disk.upper
            chain = (kept, *disk.lowers)
            self._disks[disk_id] = _Disk(self._new_layer(), chain)
            self._images[image_id] = chain
        size = run("du", "--summarize", "--block-size=1", self._directory / kept)
        return int(size.split()[0])

    def delete_image(self, image_id: str) -> None:
        """Forget an image; the layers that no other image and no disk needs go away."""
        with self._lock:
            chain = self._images.pop(image_id, ())
        self._remove_unused(chain)

    def delete_disk(self, disk_id: str) -> None:
        """Forget an unmounted disk with all that was written to it."""
        with self._lock:
            disk = self._disks.pop(disk_id, None)
        if disk:
            self._remove_unused((disk.upper, *disk.lowers))

    def _new_layer(self) -> str:
        name = str(next(self._names))
        (self._directory / name).mkdir()
        (self._directory / name).chmod(0o755)  # it is the machine's /, whatever our umask
        return name

    def _remove_unused(self, layers: tuple[str, ...]) -> None:
        with self._lock:
            chains = [*self._images.values(), *((disk.upper, *disk.lowers) for disk in self._disks.values())]
            unused = set(layers).difference(*chains)
        for name in unused:
            remove_tree(self._directory / f"{name}.work", ignore_errors=True)
            if not (self._directory / name).is_symlink():
                remove_tree(self._directory / name, ignore_errors=True)

    def _mount(self, disk: _Disk, target: Path) -> None:
        options = (
            f"lowerdir={':'.join(disk.lowers)}",
            f"upperdir={disk.upper}",
            f"workdir={disk.upper}.work",
            "redirect_dir=on",  # without it, renaming a directory that came with the image fails with EXDEV
            "index=off",
            "metacopy=off",
            "volatile",  # no fsync: these disks need not survive a power cut
        )
        command = ("mount", "--types", "overlay", "--options", ",".join(options), "amibake", target)
        run(*command, cwd=self._directory, env=_MOUNT_ENVIRONMENT)
