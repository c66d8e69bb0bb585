"""The temporary instance profile: what it is made of, that it goes, and that EC2 gets to know it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from amibake.ec2.clients import Clients
from amibake.ec2.cloud import Cloud
from amibake.ec2.profile import ec2_principal, temporary_profile
from amibake.ec2.source import SourceImage
from amibake.errors import AmibakeError, InvalidOption
from amibake.events import Created, Event, Removed
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock
from tests.account import temporary
from tests.ec2.support import answers, builder, launched

STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::releases/*"}
POLICY = {"Version": "2012-10-17", "Statement": [STATEMENT]}
WANTED = builder(temporary_iam_instance_profile_policy_document=POLICY)
NAME = "amibake_" + "b" * 16


@pytest.fixture
def iam(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The client of IAM that is used, whose calls a test may replace."""
    client = cloud.clients.service("iam", "us-east-1")
    monkeypatch.setattr(Clients, "service", lambda *_: client)
    return client


def left(cloud: Cloud, iam: Any) -> set[str]:
    return temporary(cloud.ec2, iam)


def test_without_a_policy_document_there_is_none(cloud: Cloud) -> None:
    with temporary_profile(cloud, builder()) as name:
        assert name is None


def test_a_role_with_the_policy_is_made_for_ec2_and_removed(cloud: Cloud, iam: Any, events: list[Event]) -> None:
    with temporary_profile(cloud, WANTED) as name:
        assert name == NAME
        profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        (role,) = profile["Roles"]
        trust = role["AssumeRolePolicyDocument"]["Statement"][0]
        assert trust == {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        assert iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"] == POLICY
        for tagged in (profile, iam.get_role(RoleName=name)["Role"]):
            assert {tag["Key"]: tag["Value"] for tag in tagged["Tags"]} == dict(cloud.tags)
    assert left(cloud, iam) == set()
    kinds = ["role", "role policy", "instance profile", "role in the instance profile"]
    assert events == [*(Created(kind, NAME) for kind in kinds), *(Removed(kind, NAME) for kind in reversed(kinds))]


def test_run_tags_are_on_it(cloud: Cloud, iam: Any) -> None:
    other = replace(cloud, tags={**cloud.tags, "cost": "42"})
    with temporary_profile(other, WANTED) as name:
        assert {"Key": "cost", "Value": "42"} in iam.list_role_tags(RoleName=name)["Tags"]


@pytest.mark.parametrize(
    "call", ["create_role", "put_role_policy", "create_instance_profile", "add_role_to_instance_profile"]
)
@pytest.mark.parametrize(
    ("done", "error"),
    [
        (False, ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "call")),
        (False, ReadTimeoutError(endpoint_url="https://iam")),
        (True, ReadTimeoutError(endpoint_url="https://iam")),
        (False, KeyboardInterrupt()),
        (True, KeyboardInterrupt()),
    ],
)
def test_a_create_call_that_fails_leaves_nothing(
    cloud: Cloud, iam: Any, monkeypatch: pytest.MonkeyPatch, call: str, done: bool, error: BaseException
) -> None:
    """Whether it has done its work or not."""
    real, made = getattr(iam._client, call), list[str]()

    def fail(**arguments: Any) -> None:
        if done and not made:
            made.append(call)
            real(**arguments)
        raise error

    monkeypatch.setattr(iam._client, call, fail)
    with pytest.raises((AmibakeError, KeyboardInterrupt)), temporary_profile(cloud, WANTED):
        raise AssertionError("not reached")
    assert left(cloud, iam) == set()
    assert cloud.ledger.leftovers == []


@pytest.mark.parametrize(
    "call", ["create_role", "put_role_policy", "create_instance_profile", "add_role_to_instance_profile"]
)
def test_a_call_whose_answer_was_lost_and_that_is_repeated_finds_its_own(
    cloud: Cloud, iam: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    twice(monkeypatch, iam, call)
    with temporary_profile(cloud, WANTED) as name:
        assert iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    assert left(cloud, iam) == set()


def twice(monkeypatch: pytest.MonkeyPatch, iam: Any, call: str) -> None:
    """As is done when no answer came."""
    real: Callable[..., Any] = getattr(iam._client, call)

    def again(**arguments: Any) -> Any:
        real(**arguments)
        return real(**arguments)

    monkeypatch.setattr(iam._client, call, again)


@pytest.mark.parametrize(
    "call", ["remove_role_from_instance_profile", "delete_instance_profile", "delete_role_policy", "delete_role"]
)
def test_what_is_gone_already_is_no_leftover(
    cloud: Cloud, iam: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    real, gone = getattr(iam._client, call), list[str]()

    def lose(**arguments: Any) -> Any:
        if not gone:
            gone.append(call)
            real(**arguments)
        raise ClientError({"Error": {"Code": "NoSuchEntity", "Message": "no such thing"}}, call)

    monkeypatch.setattr(iam._client, call, lose)
    with temporary_profile(cloud, WANTED):
        pass
    assert (left(cloud, iam), cloud.ledger.leftovers) == (set(), [])


def test_what_is_not_known_yet_or_still_busy_is_asked_for_again(
    cloud: Cloud, iam: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call, code in {
        "put_role_policy": "NoSuchEntity",
        "add_role_to_instance_profile": "NoSuchEntity",
        "delete_role": "DeleteConflict",
        "delete_instance_profile": "DeleteConflict",
    }.items():
        first_says(monkeypatch, iam, call, code)
    with temporary_profile(cloud, WANTED):
        pass
    assert (left(cloud, iam), cloud.ledger.leftovers) == (set(), [])


def first_says(monkeypatch: pytest.MonkeyPatch, iam: Any, call: str, code: str) -> None:
    real, asked = getattr(iam._client, call), list[str]()

    def answer(**arguments: Any) -> Any:
        asked.append(call)
        if len(asked) == 1:
            raise ClientError({"Error": {"Code": code, "Message": "not yet"}}, call)
        return real(**arguments)

    monkeypatch.setattr(iam._client, call, answer)


def test_what_cannot_be_removed_is_a_leftover_and_the_rest_is_tried_all_the_same(
    cloud: Cloud, iam: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DeleteRolePolicy")

    monkeypatch.setattr(iam._client, "delete_role_policy", refuse)
    with temporary_profile(cloud, WANTED):
        pass
    policy, role = cloud.ledger.leftovers
    assert f"aws iam delete-role-policy --role-name {NAME} --policy-name {NAME}" in policy
    assert f"aws iam delete-role --role-name {NAME}" in role
    assert iam.list_instance_profiles()["InstanceProfiles"] == []


LOST = [
    ("create_role", "get_role", "get-role --role-name {0}"),
    ("put_role_policy", "get_role_policy", "get-role-policy --role-name {0} --policy-name {0}"),
    ("create_instance_profile", "get_instance_profile", "get-instance-profile --instance-profile-name {0}"),
    ("add_role_to_instance_profile", "get_instance_profile", "get-instance-profile --instance-profile-name {0}"),
]


@pytest.mark.parametrize(("call", "look", "command"), LOST)
def test_what_was_perhaps_made_is_said_with_the_command_that_shows_it(
    cloud: Cloud, iam: Any, monkeypatch: pytest.MonkeyPatch, call: str, look: str, command: str
) -> None:
    def lose(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="here")

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, look)

    monkeypatch.setattr(iam._client, call, lose)
    monkeypatch.setattr(iam._client, look, refuse)
    with pytest.raises(AmibakeError), temporary_profile(cloud, WANTED):
        pass
    (leftover,) = cloud.ledger.leftovers
    assert leftover.endswith(f"; remove it with: aws iam {command.format(f'amibake_{cloud.build}')}")


def test_a_policy_that_iam_does_not_understand_is_the_options_mistake(cloud: Cloud, iam: Any) -> None:
    empty = builder(temporary_iam_instance_profile_policy_document={"Version": "2012-10-17", "Statement": []})
    said = r"temporary_iam_instance_profile_policy_document: PutRolePolicy: .*MalformedPolicyDocument"
    with pytest.raises(InvalidOption, match=said), temporary_profile(cloud, empty):
        raise AssertionError("not reached")
    assert (left(cloud, iam), cloud.ledger.leftovers) == (set(), [])


@pytest.mark.parametrize(
    ("region", "principal"),
    [
        ("eu-west-1", "ec2.amazonaws.com"),
        ("us-gov-west-1", "ec2.amazonaws.com"),
        ("cn-north-1", "ec2.amazonaws.com.cn"),
        ("us-iso-east-1", "ec2.c2s.ic.gov"),
        ("us-isob-east-1", "ec2.sc2s.sgov.gov"),
    ],
)
def test_each_partition_has_its_own_ec2(region: str, principal: str) -> None:
    assert ec2_principal(region) == principal


UNKNOWN = (
    "InvalidParameterValue",
    f"Value ({NAME}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
)


@pytest.mark.parametrize("spot", [{}, {"spot_price": "auto"}])
def test_the_builder_waits_until_ec2_knows_the_profile(
    cloud: Cloud, iam: Any, source: SourceImage, strict: StrictEC2, clock: FakeClock, spot: dict[str, Any]
) -> None:
    strict.profile_delay = 45
    wanted = builder(temporary_iam_instance_profile_policy_document=POLICY, **spot)
    with temporary_profile(cloud, wanted) as name, launched(cloud, wanted, source, profile=name) as machine:
        found = machine.describe()
        assert found is not None
        assert found["IamInstanceProfile"]["Arn"].endswith(f"/{NAME}")
        assert 45 <= clock.now() < 60
    tokens = {one.params["ClientToken"] for one in strict.requests if one.action == "RunInstances"}
    assert len(tokens) == (0 if spot else 1)
    assert (left(cloud, iam), cloud.ledger.leftovers) == (set(), [])


def test_a_profile_whose_role_ec2_does_not_know_yet_is_waited_for_too(
    cloud: Cloud, iam: Any, source: SourceImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f'IAM Instance Profile "arn:aws:iam::1:instance-profile/{NAME}" has no associated IAM Roles'
    asked = answers(cloud, monkeypatch, "run_instances", ("InvalidParameterValue", said))
    with temporary_profile(cloud, WANTED) as name, launched(cloud, WANTED, source, profile=name):
        pass
    assert len(asked) == 2


def test_it_does_not_wait_for_ever(
    cloud: Cloud, iam: Any, source: SourceImage, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    answers(cloud, monkeypatch, "run_instances", *[UNKNOWN] * 1000)
    with (
        temporary_profile(cloud, WANTED) as name,
        pytest.raises(InvalidOption, match=r"iam_instance_profile: .*Invalid IAM Instance Profile"),
        launched(cloud, WANTED, source, profile=name),
    ):
        raise AssertionError("not reached")
    assert 60 <= clock.now() < 90
    assert json.dumps(POLICY) == WANTED.temporary_iam_instance_profile_policy_document


def test_a_profile_of_the_users_that_is_not_there_is_not_waited_for(
    cloud: Cloud, source: SourceImage, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    asked = answers(cloud, monkeypatch, "run_instances", UNKNOWN)
    with (
        pytest.raises(InvalidOption, match="iam_instance_profile: "),
        launched(cloud, builder(iam_instance_profile="webb"), source),
    ):
        raise AssertionError("not reached")
    assert (len(asked), clock.now()) == (1, 0)
