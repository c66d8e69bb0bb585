"""The EC2 that the benchmarks bake in."""

from __future__ import annotations

from pathlib import Path

import pytest

from amibake.sandbox.session import local_session
from benchmarks.machines import Park
from benchmarks.measure import Failed
from benchmarks.standin import KEY, NONE, REGION, stand_in


def test_who_leaves_something_behind_has_failed(tmp_path: Path) -> None:
    with stand_in(Park("nowhere", tmp_path), NONE) as ec2:
        assert ec2.images() == 0
        local_session(ec2.url, REGION, KEY).client("ec2").create_key_pair(KeyName="left")

        with pytest.raises(Failed, match="what is temporary has stayed: left"):
            ec2.images()
