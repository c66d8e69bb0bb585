"""What botocore reads of its own data, while sessions share it."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from botocore.loaders import JSONFileLoader

from amibake.testing.data import read_once


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read, in order."""
    files: list[str] = []
    load = JSONFileLoader.load_file

    def noted(self: JSONFileLoader, path: str) -> object:
        files.append(path)
        return load(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", noted)
    return files


def test_a_second_session_reads_nothing_again(read: list[str]) -> None:
    with read_once():
        boto3.Session(region_name="us-east-1").client("ec2")
        read.clear()
        boto3.Session(region_name="eu-central-1").client("ec2")
    assert read == []


def test_sessions_look_in_no_more_places_than_the_first() -> None:
    with read_once():
        paths = [[*boto3.Session()._session.get_component("data_loader").search_paths] for _ in range(3)]
        assert paths[0] == paths[1] == paths[2]
        assert "ec2" in boto3.Session().get_available_resources()


def test_a_data_path_of_the_users_own_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shop" / "2026-01-01").mkdir(parents=True)
    (tmp_path / "shop" / "2026-01-01" / "service-2.json").write_text(json.dumps({"metadata": {}}))
    with read_once():
        assert "shop" not in boto3.Session().get_available_services()
        monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
        assert "shop" in boto3.Session().get_available_services()
