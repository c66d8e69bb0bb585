"""Trees that are hard to carry, and what can be told of one."""

from __future__ import annotations

# ruff: noqa: PTH103, PTH118, PTH120, PTH123, PTH115, PTH211
import os
import stat
from pathlib import Path

NAMES = [
    b"plain",
    b"two words",
    b" ahead",
    b"behind ",
    b'it\'s "quoted"',
    b"new\nline\n",
    b"return\r",
    b"\\\\",
    b"\\n",
    b"tab\t",
    b"-rf",
    b"--",
    b"-",
    b"*",
    b"[a]?",
    b"{}",
    b"$HOME",
    b"`id`",
    b"#!;&|<>",
    b"~",
    b"...",
    b".hidden",
    "é".encode(),
    b"caf\xe9",
    b"\xff\xfe",
    b"\x01\x7f",
    b"x" * 255,
    b"tree",
    b"end",
    b".amibake-1",
]


def odd_tree(root: Path) -> Path:
    """Some of everything that a directory may hold and an upload carries, with all its permission bits."""
    top = os.fsencode(root)
    for name in NAMES:
        os.makedirs(top + b"/names/" + name)
        for within in (b"files/", b"names/" + name + b"/"):
            os.makedirs(os.path.dirname(top + b"/" + within), exist_ok=True)
            with open(top + b"/" + within + name, "wb") as file:
                file.write(b"this is " + name)
    (root / "links").mkdir()
    for number, target in enumerate([b"../files/plain", b"/no/such", b".", b"..", b"loop", b"../names", *NAMES]):
        os.symlink(target, top + b"/links/%d" % number)
    for link, to in (("loop", "loop"), ("one", "other"), ("other", "one"), ("abs", "/etc/passwd")):
        (root / "links" / link).symlink_to(to)
    (root / "empty" / "more").mkdir(parents=True)
    deep = root
    for number in range(30):
        deep /= f"{number:03}" * 10
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    (root / "modes" / "d").mkdir(parents=True)
    for mode in range(0o1000):
        if mode % 7 == 0 or mode in {0o777, 0o755, 0o644, 0o111}:
            (root / "modes" / f"{mode:03o}").write_text(f"{mode:o}")
            (root / "modes" / f"{mode:03o}").chmod(mode)
    for mode in (0o000, 0o111, 0o500, 0o555, 0o700, 0o777):
        (root / "modes" / "d" / f"{mode:03o}").mkdir()
        (root / "modes" / "d" / f"{mode:03o}" / "file").write_text("x")
        (root / "modes" / "d" / f"{mode:03o}").chmod(mode)
    sparse_file(root / "sparse", 3 << 20, [0, 1 << 20, (3 << 20) - 3])
    sparse_file(root / "holes", 64 << 20, [number << 20 for number in range(60)])
    sparse_file(root / "hole", 5_000_001, [])
    (root / "blank").write_bytes(b"")
    (root / "old").write_text("old")
    os.utime(root / "old", (86400, 86400))
    return root


def sparse_file(path: Path, size: int, places: list[int]) -> None:
    """A file of this size with three bytes at each of these places and holes elsewhere."""
    with path.open("wb") as file:
        file.truncate(size)
        for at in places:
            file.seek(at)
            file.write(b"abc")


def told(root: Path) -> dict[bytes, tuple[str, bytes, int]]:
    """What is below: mode; content or target; and when a file was written."""
    found = {}
    top = os.fsencode(root)
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(directory, name)
            seen = os.lstat(path)
            content, written = b"", 0
            if stat.S_ISLNK(seen.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(seen.st_mode):
                content, written = Path(os.fsdecode(path)).read_bytes(), int(seen.st_mtime)
            found[os.path.relpath(path, top)] = (stat.filemode(seen.st_mode), content, written)
    return found
