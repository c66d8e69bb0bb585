"""A file that lists the images that were baked, as Packer's manifest post-processor writes it.

https://developer.hashicorp.com/packer/docs/post-processors/manifest
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amibake import waiting
from amibake.errors import AmibakeError, InvalidOption
from amibake.image import APP, BUILD, NODE_ENV, SOURCE_AMI, STAGE, Image


def add_to_manifest(file: Path, image: Image) -> None:
    """Add an image at the end of the manifest's `builds`. The file is replaced in one step: whoever reads it sees it
    whole, with the image or without. Several bakes may do so at once.

    Raises:
        AmibakeError: what is there is no manifest, or it can't be written. The image is published all the same.
    """
    build = image.tags.get(BUILD, "")
    names = {"app": APP, "stage": STAGE, "node_env": NODE_ENV, "source_ami": SOURCE_AMI}
    entry = {
        "name": "-".join(image.tags[tag] for tag in (APP, STAGE, NODE_ENV) if tag in image.tags),
        "builder_type": "amazon-ebs",
        "build_time": int(waiting.clock.epoch()),
        "files": None,
        "artifact_id": ",".join(f"{region}:{one}" for region, one in sorted(image.ids.items())),
        "packer_run_uuid": build,
        "custom_data": {
            "ami_name": image.name,
            **{name: image.tags[tag] for name, tag in names.items() if tag in image.tags},
        },
    }
    try:
        file = file.resolve()  # where it is a link, that is not to become a file
        with _locked(file.parent):
            found = _read(file)
            _write(file, {**found, "builds": [*found.get("builds", []), entry], "last_run_uuid": build})
    except (OSError, ValueError, TypeError) as error:
        raise AmibakeError(
            f"{image.id} is published, but not in {file}: {error}", hint="the image is there: amibake images"
        ) from error


def check_manifest(file: Path) -> None:
    """See to it that an image can be added.

    Raises:
        InvalidOption: what is there is no manifest, or there is no directory for it.
    """
    try:
        _read(file)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidOption(f"manifest: {file}: {error}") from error
    if not file.parent.is_dir():
        raise InvalidOption(f"manifest: {file.parent} is not a directory")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """While nobody else adds to a manifest there. The file itself can't be locked, since it is replaced."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("builds", []), list):
        raise TypeError("there is something else in it")
    return found


def _write(file: Path, content: dict[str, Any]) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)
        beside.replace(file)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
