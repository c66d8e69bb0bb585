"""EC2's and botocore's errors, in our words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from amibake import errors, waiting
from amibake.builder.access import Access
from amibake.ec2.clients import clients
from amibake.ec2.cloud import Cloud
from amibake.ec2.refusals import Translating
from amibake.strict import StrictEC2
from amibake.testing.clock import FakeClock

Refuse = Callable[..., list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UnauthorizedOperation", errors.NotAuthorized),
        ("ExpiredToken", errors.NotAuthorized),
        ("InsufficientInstanceCapacity", errors.NoCapacity),
        ("VcpuLimitExceeded", errors.NoCapacity),
        ("InvalidParameterValue", errors.AmibakeError),
    ],
)
def test_a_refusal_names_the_call_and_what_ec2_said(
    cloud: Cloud, refuse: Refuse, code: str, kind: type[errors.AmibakeError]
) -> None:
    refuse("run_instances", code, "not today")
    with pytest.raises(errors.AmibakeError, match=f"RunInstances: EC2 says {code}: not today") as caught:
        cloud.ec2.run_instances(MinCount=1, MaxCount=1)
    assert type(caught.value) is kind
    assert caught.value.code == code


def test_a_lack_of_capacity_is_said_once_and_not_waited_out(cloud: Cloud, debian: str, strict: StrictEC2) -> None:
    lack = strict.refuse_launches()
    with pytest.raises(errors.NoCapacity, match="InsufficientInstanceCapacity"):
        cloud.ec2.run_instances(MinCount=1, MaxCount=1, ImageId=debian, InstanceType="t3.micro")
    assert lack.met == 1


def test_an_encoded_refusal_is_decoded(cloud: Cloud, refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(
        "run_instances", "UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: x9"
    )
    monkeypatch.setattr(cloud.ec2, "_decode", lambda text: f"decoded {text}")
    with pytest.raises(errors.NotAuthorized, match=r"You are not authorized\. decoded x9"):
        cloud.ec2.run_instances(MinCount=1, MaxCount=1)


def test_where_sts_does_not_decode_it_the_hint_names_the_permission(
    cloud: Cloud, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(_: str) -> str:
        raise errors.NotAuthorized("DecodeAuthorizationMessage: STS says AccessDenied: no")

    monkeypatch.setattr(cloud.ec2, "_decode", decode)
    refuse("run_instances", "UnauthorizedOperation", "Encoded authorization failure message: x9")
    with pytest.raises(errors.NotAuthorized, match="Encoded authorization failure message: x9") as caught:
        cloud.ec2.run_instances(MinCount=1, MaxCount=1)
    assert "sts:DecodeAuthorizationMessage" in caught.value.hint


def test_where_sts_is_out_of_reach_nobody_waits_for_it(strict: StrictEC2, clock: FakeClock) -> None:
    session, asked = boto3.Session(region_name="us-east-1"), list[str]()

    def silent(model: Any, **_: Any) -> None:
        asked.append(model.name)
        raise EndpointConnectionError(endpoint_url="https://sts")

    session.events.register("before-call.sts", silent)
    strict.refuse("DescribeImages", message="Encoded authorization failure message: x9")
    made, region = clients(session, Access(), build="b")
    with pytest.raises(errors.NotAuthorized, match="x9") as caught:
        made.ec2(region).describe_images()
    assert "sts:DecodeAuthorizationMessage" in caught.value.hint
    assert (asked, clock.now()) == (["DecodeAuthorizationMessage"], 0)


def test_a_missing_permission_is_named(cloud: Cloud, refuse: Refuse) -> None:
    refuse("import_key_pair", "UnauthorizedOperation")
    with pytest.raises(errors.NotAuthorized) as caught:
        cloud.ec2.import_key_pair(KeyName="x", PublicKeyMaterial=b"")
    assert "ec2:ImportKeyPair" in caught.value.hint


DENIED = {"allowed": False, "context": {"action": "iam:PassRole", "resource": "arn:aws:iam::1:role/web"}}


@pytest.mark.parametrize(
    ("explicit", "said"),
    [
        (False, "not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/web"),
        (True, "an explicit deny forbids to perform: iam:PassRole on resource: arn:aws:iam::1:role/web"),
    ],
)
def test_the_action_that_is_missing_is_read_from_what_was_decoded(
    cloud: Cloud, refuse: Refuse, monkeypatch: pytest.MonkeyPatch, explicit: bool, said: str
) -> None:
    refuse("run_instances", "UnauthorizedOperation", "No. Encoded authorization failure message: x9")
    monkeypatch.setattr(cloud.ec2, "_decode", lambda _: json.dumps({**DENIED, "explicitDeny": explicit}))
    with pytest.raises(errors.NotAuthorized, match=f"UnauthorizedOperation: No. {said}") as caught:
        cloud.ec2.run_instances(MinCount=1, MaxCount=1)
    assert caught.value.hint == "The call needs the permission iam:PassRole."


def test_where_nobody_says_which_permission_all_that_the_call_takes_are_named(cloud: Cloud, refuse: Refuse) -> None:
    refuse("run_instances", "UnauthorizedOperation", "You are not authorized to perform this operation.")
    with pytest.raises(errors.NotAuthorized) as caught:
        cloud.ec2.run_instances(
            MinCount=1, MaxCount=1, TagSpecifications=cloud.specification("instance"), IamInstanceProfile={"Name": "w"}
        )
    needed = "ec2:RunInstances (and ec2:CreateTags for its tags, iam:PassRole for its instance profile)"
    assert caught.value.hint == f"The call needs the permission {needed}."


def test_expired_credentials_are_no_question_of_permission(cloud: Cloud, refuse: Refuse) -> None:
    refuse("describe_images", "RequestExpired")
    with pytest.raises(errors.NotAuthorized) as caught:
        cloud.ec2.describe_images()
    assert "expired" in caught.value.hint


def test_no_credentials_is_said_with_what_to_do() -> None:
    class Client:
        def describe_images(self) -> None:
            raise NoCredentialsError

    with pytest.raises(errors.NotAuthorized, match="DescribeImages: there are no AWS credentials") as caught:
        Translating(Client()).describe_images()
    assert "AWS_PROFILE" in caught.value.hint


def test_an_endpoint_that_does_not_answer_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setattr(waiting, "clock", FakeClock())
    session = boto3.Session("test", "test", region_name="eu-west-1")
    made, region = clients(session, Access(), build="b")
    assert region == "eu-west-1"
    with pytest.raises(errors.AmibakeError, match=r"DescribeImages could not be called: .*127\.0\.0\.1:9"):
        made.ec2(region).describe_images()


def test_without_any_region_it_is_the_articles(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert clients(None, Access(), build="b")[1] == "us-east-1"
    assert clients(None, Access(region="eu-central-1"), build="b")[1] == "eu-central-1"


def test_a_session_and_a_profile_contradict_each_other() -> None:
    with pytest.raises(errors.InvalidOption, match="profile: not together with session="):
        clients(boto3.Session("test", "test"), Access(profile="other"), build="b")


def test_a_profile_that_is_not_there_is_an_option_that_is_wrong() -> None:
    with pytest.raises(errors.InvalidOption, match="could not be found"):
        clients(None, Access(profile="no-such-profile"), build="b")
