"""Removes what clouds have left whose process was killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from amibake.errors import AmibakeError
from amibake.sandbox.cache import CloudDirectory
from amibake.sandbox.podman import remove_cloud


def clean(cache: Path, progress: Callable[[str], None]) -> list[str]:
    """Remove the containers, mounts, networks, rules and files of dead clouds; answers with the ids of those removed.

    A cloud is dead when nobody holds its directory's lock; living ones are not touched.

    Raises:
        AmibakeError: Something could not be removed; what can be is.
    """
    removed, failures = [], []
    for directory in CloudDirectory.abandoned(cache):
        progress(f"removing cloud {directory.id}")
        try:
            remove_cloud(directory.id, directory.path / "engine")
        except AmibakeError as error:
            failures.append(str(error))
            directory.release()
        else:
            directory.remove()
            removed.append(directory.id)
    if failures:
        raise AmibakeError("\n".join(failures))
    return removed
