"""botocore's descriptions of services: whose loading is made quicker, and whose is not."""

from __future__ import annotations

import gc
from weakref import WeakValueDictionary

import boto3
import botocore.session
import pytest
from botocore.loaders import JSONFileLoader, Loader, create_loader

from amibake.builder.access import Access, AssumeRole
from amibake.ec2 import models
from amibake.ec2.clients import clients
from amibake.strict import StrictEC2


@pytest.fixture(autouse=True)
def not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions read as they do in a user's program, not once for all tests."""
    monkeypatch.setattr(botocore.session, "create_loader", create_loader)
    monkeypatch.setattr(models, "_loaders", WeakValueDictionary())


def test_what_describes_the_services_is_what_botocore_itself_reads() -> None:
    session = botocore.session.Session()
    models.share(session)
    ours, plain = session.get_component("data_loader"), Loader()
    for name in ("endpoints", "_retry", "partitions"):
        assert ours.load_data(name) == plain.load_data(name)
    assert ours.load_service_model("sts", "service-2") == plain.load_service_model("sts", "service-2")


def test_sessions_that_are_made_here_read_it_once_and_keep_it_no_longer_than_they_are_there(strict: StrictEC2) -> None:
    gc.collect()
    made = [clients(None, Access(region="eu-west-1"), build="b")[0] for _ in range(2)]
    one, other = (each.session._session.get_component("data_loader") for each in made)
    assert one is other
    for each in made:
        assert each.ec2("eu-west-1").describe_images(Owners=["self"])["Images"] == []
    del one, other, each, made
    gc.collect()
    assert not models._loaders


def test_sessions_in_a_role_do_not_add_to_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    role = AssumeRole(role_arn="arn:aws:iam::123456789012:role/baker")
    made = [clients(None, Access(region="eu-west-1", assume_role=role), build="b")[0] for _ in range(3)]
    loaders = [each.session._session.get_component("data_loader") for each in made]
    assert loaders[0] is loaders[2]
    assert len(loaders[0].search_paths) == len(set(loaders[0].search_paths))


def test_a_session_of_the_callers_is_left_as_it_is(strict: StrictEC2) -> None:
    session = boto3.Session("test", "test", region_name="eu-west-1")
    before = session._session.get_component("data_loader")
    made, region = clients(session, Access(), build="b")
    assert made.ec2(region).describe_images(Owners=["self"])["Images"] == []
    assert session._session.get_component("data_loader") is before
    assert type(before.file_loader) is JSONFileLoader


def test_models_of_the_users_own_are_looked_for_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = botocore.session.Session()
    models.share(plain)
    monkeypatch.setenv("AWS_DATA_PATH", "/somewhere")
    other = botocore.session.Session()
    models.share(other)
    paths = [session.get_component("data_loader").search_paths for session in (plain, other)]
    assert "/somewhere" in paths[1]
    assert "/somewhere" not in paths[0]
