"""What is uploaded: the same bytes each time, made on first use."""

from __future__ import annotations

import lzma
import random
import shutil
import string
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from amibake.sandbox.commands import run

MB = 1_000_000
_PACKAGES = ("node-typescript", "libjs-mathjax", "libjs-three")


@dataclass(frozen=True)
class Tree:
    """A directory to upload."""

    directory: Path

    @cached_property
    def files(self) -> int:
        """How many files it has."""
        return len(self._files())

    @cached_property
    def bytes(self) -> int:
        """How much they hold."""
        return sum(path.stat().st_size for path in self._files())

    @cached_property
    def dense(self) -> int:
        """How few bytes it takes to say the same: what xz makes of it, which none of the contenders reaches."""
        packer = lzma.LZMACompressor(preset=2)
        return sum(len(packer.compress(path.read_bytes())) for path in self._files()) + len(packer.flush())

    def _files(self) -> list[Path]:
        return sorted(path for path in self.directory.rglob("*") if path.is_file())


class Data:
    """The three trees, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def small(self) -> Tree:
        """2,000 files of text, 13 MB in all, twenty in a directory."""
        chance, root = random.Random(1), self._directory / "small"  # noqa: S311 - the same each time
        words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 12))) for _ in range(5000)]
        for number in range(1999):
            path = root / f"part-{number // 20:02}" / f"{words[number]}-{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = 500 + min(int(chance.paretovariate(1.2) * 1100), 200_000)
            text = " ".join(chance.choices(words, k=size // 8 + 1))
            path.write_text(text[:size])
        tree = Tree(root)
        (path := root / "rest.txt").write_bytes(b"")
        short = 13 * MB - Tree(root).bytes
        path.write_text(" ".join(chance.choices(words, k=max(short, 0) // 2 + 1))[: max(short, 0)])
        return tree

    @cached_property
    def large(self) -> Tree:
        """One file of 256 MB that can't be compressed, as archives and images of disks can't."""
        chance, root = random.Random(2), self._directory / "large"  # noqa: S311 - the same each time
        root.mkdir()
        with (root / "archive.bin").open("wb") as file:
            for _ in range(256):
                file.write(chance.randbytes(MB))
        return Tree(root)

    @cached_property
    def javascript(self) -> Tree:
        """60 MB of what people really send: the scripts of some of Debian's packages for the web."""
        root, unpacked = self._directory / "javascript", self._directory / "unpacked"
        unpacked.mkdir()
        run("apt-get", "-q", "download", *_PACKAGES, cwd=unpacked, timeout=300)
        for package in sorted(unpacked.glob("*.deb")):
            run("dpkg-deb", "--extract", package, unpacked)
        scripts = [one for one in unpacked.rglob("*.*js") if one.is_file() and not one.is_symlink()]
        scripts += [one for one in unpacked.rglob("*.ts") if one.is_file() and not one.is_symlink()]
        left = 60 * MB
        for script in sorted(scripts):
            if left <= 0:
                break
            data = script.read_bytes()[:left]
            path = root / script.relative_to(unpacked)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            left -= len(data)
        shutil.rmtree(unpacked)
        return Tree(root)
