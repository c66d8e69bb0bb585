"""By whose credentials, in which region, and how often again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from amibake import errors
from amibake.builder.access import Access
from amibake.ec2.clients import clients
from amibake.strict import StrictEC2

ROLE = "arn:aws:iam::210987654321:role/baker"


def test_a_role_is_taken_on_with_all_that_was_asked_for(strict: StrictEC2, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params["body"])

    source = boto3.Session("test", "test", region_name="eu-west-1")
    source.events.register("before-call.sts.AssumeRole", note)
    monkeypatch.setattr("boto3.Session", lambda **given: source if "botocore_session" not in given else REAL(**given))
    role = {"role_arn": ROLE, "external_id": "x-1", "policy_arns": ["arn:aws:iam::aws:policy/p"], "tags": {"a": "b"}}
    made, region = clients(None, Access(assume_role=role), build="0123")
    ec2 = made.ec2(region)
    assert asked == []  # not before anything is asked of EC2
    owner = ec2.describe_security_groups()["SecurityGroups"][0]["OwnerId"]
    assert (region, owner) == ("eu-west-1", "210987654321")
    (body,) = asked
    assert body["RoleSessionName"] == "amibake-0123"
    assert body["ExternalId"] == "x-1"
    assert body["DurationSeconds"] == 3600
    assert body["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/p"
    assert "Policy" not in body


REAL = boto3.Session


@pytest.mark.parametrize(
    ("code", "asked", "kind"), [("Throttling", 2, None), ("AccessDenied", 1, errors.NotAuthorized)]
)
def test_a_role_is_asked_for_again_when_sts_has_no_time_and_not_when_it_says_no(
    strict: StrictEC2, monkeypatch: pytest.MonkeyPatch, code: str, asked: int, kind: type[Exception] | None
) -> None:
    seen: list[str] = []

    def fail(model: Any, **_: Any) -> Any:
        seen.append(model.name)
        said = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        return (SimpleNamespace(status_code=400), said) if kind or len(seen) == 1 else None

    source = boto3.Session("test", "test", region_name="eu-west-1")
    source.events.register("before-call.sts.AssumeRole", fail)
    monkeypatch.setattr("boto3.Session", lambda **given: source if "botocore_session" not in given else REAL(**given))
    made, region = clients(None, Access(assume_role={"role_arn": ROLE}), build="0123")
    if kind:
        with pytest.raises(kind, match="assume_role: STS says AccessDenied"):
            made.ec2(region).describe_images(Owners=["self"])
    else:
        assert made.ec2(region).describe_images(Owners=["self"])["Images"] == []
    assert seen == ["AssumeRole"] * asked


def test_a_role_needs_credentials_to_take_it_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(errors.InvalidOption, match="assume_role: there are no AWS credentials"):
        clients(None, Access(assume_role={"role_arn": ROLE}), build="b")


def test_keys_that_are_given_are_used(strict: StrictEC2) -> None:
    made, _ = clients(None, Access(access_key="AKIA1", secret_key="s", token="t"), build="b")
    credentials = made.session.get_credentials()
    assert credentials is not None
    assert (credentials.access_key, credentials.secret_key, credentials.token) == ("AKIA1", "s", "t")


@pytest.mark.parametrize(
    "own", [{"profile": "x"}, {"access_key": "a", "secret_key": "b"}, {"assume_role": {"role_arn": ROLE}}]
)
def test_a_session_has_credentials_of_its_own(own: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidOption, match="not together with session=") as caught:
        clients(boto3.Session("test", "test"), Access(**own), build="b")
    assert {line.partition(":")[0] for line in caught.value.mistakes} == set(own)


def test_max_retries_is_how_often_a_call_is_repeated(strict: StrictEC2) -> None:
    made, region = clients(boto3.Session("test", "test"), Access(max_retries=2), build="b")
    busy = strict.refuse("DescribeImages", "RequestLimitExceeded")
    with pytest.raises(errors.AmibakeError, match="RequestLimitExceeded"):
        made.ec2(region).describe_images()
    assert busy.met == 3


def test_a_client_is_made_once(strict: StrictEC2) -> None:
    made, region = clients(boto3.Session("test", "test"), Access(), build="b")
    assert made.ec2(region) is made.ec2(region)
    assert made.ec2("eu-west-1") is not made.ec2(region)
