"""Removes a whole cloud by its id and its directory alone, so that it does not matter who has made it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from amibake.errors import AmibakeError
from amibake.sandbox import network
from amibake.sandbox.commands import run
from amibake.sandbox.containers import Containers, state_directory
from amibake.sandbox.trees import remove_tree


def remove_cloud(cloud_id: str, root: Path) -> None:
    """Remove everything of a cloud, also of one whose owner was killed. What is gone already is no error.

    Args:
        root: The directory that its engine was given.

    Raises:
        AmibakeError: Something could not be removed; all the rest is.
    """
    if not re.fullmatch(r"[0-9a-f]{8}", cloud_id):
        raise AmibakeError(f"{cloud_id!r} is not the id of a cloud: eight hexadecimal digits")
    root, state = root.resolve(), state_directory(cloud_id)
    steps: list[Callable[[], None]] = [
        Containers(cloud_id, root / "containers").close,
        partial(network.remove, cloud_id),
        partial(_remove_directory, root),
        partial(_remove_directory, state),
    ]
    failures: list[str] = []
    interruption: KeyboardInterrupt | None = None
    for step in steps:
        try:
            step()
        except (AmibakeError, OSError) as error:
            failures.append(str(error))
        except KeyboardInterrupt as error:  # first finish
            interruption = error
    if interruption:
        raise interruption
    if failures:
        raise AmibakeError(f"not all of the sandbox {cloud_id} could be removed: {'; '.join(failures)}")


def _remove_directory(directory: Path) -> None:
    below = f"{directory}/"
    mounts = [_unescape(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = [mount for mount in mounts if mount.startswith(below)]
    if ours:
        run("umount", "--lazy", *reversed(ours))
    if directory.exists():
        remove_tree(directory)


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
