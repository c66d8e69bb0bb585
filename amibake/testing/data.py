"""botocore's descriptions of services, read once: to parse EC2's anew for each session takes longer than a bake."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from unittest import mock

import boto3
from botocore import session
from botocore.loaders import Loader, create_loader

from amibake.ec2.models import Plain


class _Shared(Loader):
    """For any number of sessions. boto3 adds its own directory to the paths of each: it is there from the start."""

    @property
    def search_paths(self) -> list[str]:
        return [*super().search_paths]


@cache
def _shared() -> Loader:
    loader = _Shared(extra_search_paths=[str(Path(boto3.__file__).with_name("data"))])
    loader.file_loader = Plain()
    return loader


def _loader(search_path: str | None = None) -> Loader:
    return create_loader(search_path) if search_path else _shared()


def read_once() -> mock._patch[object]:
    """A context in which sessions share what they read, unless AWS_DATA_PATH names other places."""
    return mock.patch.object(session, "create_loader", _loader)
