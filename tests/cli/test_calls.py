"""The calls that a plan foretells are those that a bake makes, and those that the policy of its options allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

import amibake
from amibake.cli.calls import Call, calls
from amibake.ec2.cloud import connect
from amibake.ec2.lookup import Plan, look_up
from amibake.events import Event, StepStarted
from amibake.ledger import Ledger
from amibake.testing import Place

STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::releases/*"}
DOCUMENT = {"Version": "2012-10-17", "Statement": [STATEMENT]}
READS = ("Describe*", "Get*", "List*")
Made = dict[str, set[tuple[str, str]]]
"""{step: {(call, region)}}, the steps in order."""


def planned(place: Place, builder: amibake.Builder) -> Plan:
    return look_up(connect(place.session, build="0" * 16, ledger=Ledger(lambda _: None)), builder)


def foretold(found: list[Call]) -> Made:
    made: Made = {}
    for call in found:
        made.setdefault(call.step, set()).add((call.call, call.region))
    return made


class Recorder:
    """Writes down every call that changes something, by the step that it is made in."""

    def __init__(self, place: Place) -> None:
        self.made: Made = {}
        self._step = ""
        place.session.events.register("before-parameter-build", self._hear)

    def tell(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            # without an image nothing else follows
            self._step = event.step if event.step != "seal the builder" else "remove what is temporary"

    def _hear(self, event_name: str, context: Any, **_: Any) -> None:
        service, call = event_name.split(".")[1:]
        if not any(fnmatchcase(call, pattern) for pattern in READS):
            region = "" if service == "iam" else context["client_region"]
            self.made.setdefault(self._step, set()).add((f"{service}:{call}", region))


def options(place: Place, **more: Any) -> amibake.Builder:
    given = {"ami_name": "shop {{timestamp}}", "source_ami": place.source_ami, "instance_type": "t3.micro"}
    return amibake.Builder(**{**given, **more})


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without an image": {"skip_create_ami": True},
    "without a way in": {"communicator": "none", "disable_stop_instance": True, "shutdown_behavior": "stop"},
    "drivers": {"ena_support": True, "sriov_support": True},
    "a volume that stays": {
        "launch_block_device_mappings": [{"device_name": "sdf", "volume_size": 1, "delete_on_termination": False}]
    },
    "spot": {"spot_price": "auto"},
    "a temporary profile": {"temporary_iam_instance_profile_policy_document": DOCUMENT},
    "copied and shared": {
        "ami_regions": ["eu-west-1"],
        "ami_users": ["210987654321"],
        "ami_product_codes": ["abc"],
        "snapshot_users": ["210987654321"],
        "imds_support": "v2.0",
        "deprecate_after": "90d",
        "deregistration_protection": {"with_cooldown": True},
    },
    "copied only": {"ami_regions": ["eu-west-1"], "skip_save_build_region": True, "deregistration_protection": True},
}


@pytest.fixture
def kept(place: Place) -> Iterator[None]:
    """Volumes that are to stay go with the test."""
    yield
    ec2 = place.session.client("ec2")
    for volume in ec2.describe_volumes()["Volumes"]:
        ec2.delete_volume(VolumeId=volume["VolumeId"])


def compare(place: Place, builder: amibake.Builder) -> list[Call]:
    plan = planned(place, builder)
    recorder = Recorder(place)
    amibake.bake(builder, [], session=place.session, on_event=recorder.tell)
    found = calls(plan)
    assert foretold(found) == recorder.made
    assert list(foretold(found)) == list(recorder.made)
    return found


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "without a way in"])
def test_a_bake_makes_the_calls_that_were_foretold(place: Place, kept: None, kind: str) -> None:
    builder = options(place, **KINDS[kind])
    found = compare(place, builder)
    allowed = json.dumps(amibake.policy(builder=planned(place, builder).builder))
    assert [call.call for call in found if f'"{call.call}"' not in allowed] == []


def test_a_builder_that_nobody_logs_in_to_is_not_stopped_and_nobody_is_admitted(place: Place) -> None:
    found = {call.call for call in calls(planned(place, options(place, **KINDS["without a way in"])))}
    assert {"ec2:RunInstances", "ec2:CreateSecurityGroup", "ec2:CreateImage"} <= found
    assert not {"ec2:ImportKeyPair", "ec2:AuthorizeSecurityGroupIngress", "ec2:StopInstances"} & found


def test_things_of_the_users_are_neither_made_nor_removed(place: Place) -> None:
    group = place.session.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    found = {call.call for call in calls(planned(place, options(place, security_group_ids=[group], ssh_password="x")))}
    assert not {"KeyPair", "SecurityGroup"} & {word for word in ("KeyPair", "SecurityGroup") if word in str(found)}


@pytest.mark.parametrize("protected", [False, True])
def test_a_name_is_taken_by_the_calls_that_were_foretold(place: Place, protected: bool) -> None:
    amibake.bake(options(place, ami_name="shop"), [], session=place.session)
    more = {"ami_name": "shop", "force_deregister": True, "force_delete_snapshot": True}
    compare(place, options(place, **more, deregistration_protection=protected))


def test_behind_a_proxy_command_only_who_is_named_is_admitted(place: Place) -> None:
    def admits(**more: Any) -> bool:
        found = calls(planned(place, options(place, ssh_proxy_command="nc %h %p", **more)))
        return "ec2:AuthorizeSecurityGroupIngress" in {call.call for call in found}

    assert [admits(), admits(temporary_security_group_source_cidrs=["192.0.2.1/32"])] == [False, True]
