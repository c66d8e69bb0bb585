"""Bakes of all kinds, good and bad, each with what it asks of AWS."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from types import SimpleNamespace
from typing import Any

import amibake
from amibake.events import Event, StepStarted
from amibake.permissions import features_of
from amibake.ssh.keys import make_key_pair
from amibake.testing import Place, exits, in_process
from tests.policy.authorization import ACCOUNT, KEY
from tests.policy.evaluator import Question
from tests.policy.recorder import Recorder

STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::releases/*"}
DOCUMENT = {"Version": "2012-10-17", "Statement": [STATEMENT]}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/web"
GROUPS = f"arn:aws:resource-groups:us-east-1:{ACCOUNT}:group"
FAILS = amibake.Shell(inline=["make it"])
COPIES = ("eu-west-1", "us-west-2")


@dataclass(frozen=True)
class Recorded:
    """A bake that has been: what it needed by its options and by how it was called, and what it asked."""

    name: str
    bakes: bool
    features: frozenset[str]
    calls: frozenset[str]
    questions: tuple[Question, ...]


@dataclass
class Bench:
    """A place with a recorder, and the features that were used in it."""

    place: Place
    recorder: Recorder
    features: set[str]
    bakes: bool = True

    def bake(self, *steps: Any, **options: Any) -> Any:
        """Bake; how it is called is among the options."""
        how = {name: options.pop(name) for name in ("on_error", "resume", "on_event") if name in options}
        given = {"ami_name": "shop {{timestamp}}", "source_ami": self.place.source_ami, "instance_type": "t3.micro"}
        builder = amibake.Builder(**{**given, **options})
        self.features |= {*features_of(builder), *(["resume"] if "resume" in how else [])}
        return amibake.bake(builder, steps, session=self.place.session, **how)

    def fails(self, *steps: Any, **options: Any) -> amibake.AmibakeError:
        """Bake what fails."""
        try:
            self.bake(*steps, **options)
        except amibake.AmibakeError as error:
            return error
        raise AssertionError("it did not fail")

    def begin(self, feature: str) -> None:
        """What was needed until now does not count: from now on nothing is baked, but this is done."""
        self.recorder.begin()
        self.features, self.bakes = {feature}, False

    @property
    def ec2(self) -> Any:
        """A client that nobody listens to."""
        return self.recorder.client("ec2", "us-east-1")


Scenario = Callable[[Bench], object]
SCENARIOS: dict[str, Scenario] = {}


def scenario(run: Scenario) -> Scenario:
    """One of the bakes to look at."""
    SCENARIOS[run.__name__] = run
    return run


def record(name: str) -> Recorded:
    """Run one of `SCENARIOS`."""
    with in_process() as place:
        bench = Bench(place, Recorder(place), set())
        SCENARIOS[name](bench)
        found = bench.recorder
        return Recorded(name, bench.bakes, frozenset(bench.features), frozenset(found.calls), tuple(found.questions))


@scenario
def plain(bench: Bench) -> None:
    bench.bake(app="shop", tags={"team": "web"}, run_tags={"team": "web"}, temporary_key_pair_name="shop")


@scenario
def in_a_network(bench: Bench) -> None:
    vpc = bench.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    bench.bake(vpc_id=vpc, encrypt_boot=False, shutdown_behavior="terminate", associate_public_ip_address=True)
    bench.bake(availability_zone="us-east-1b")


@scenario
def without_a_key_pair(bench: Bench) -> None:
    bench.bake(communicator="none", skip_create_ami=True)


@scenario
def script_failed(bench: Bench) -> None:
    bench.place.machines.behaviour.on("make it", exits(1))
    bench.fails(FAILS)


@scenario
def image_failed(bench: Bench) -> None:
    bench.place.ec2.fail_images(leave_snapshots=True)
    bench.fails()


@scenario
def nobody_answers(bench: Bench) -> None:
    bench.place.machines.behaviour.refuse_connections = 10_000
    bench.fails(ssh_timeout=30)


@scenario
def volumes_that_stay(bench: Bench) -> None:
    """One is to be kept, and one is left over."""
    kept = amibake.BlockDevice("sdf", volume_size=1, delete_on_termination=False)

    def leave_one(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == "seal the builder":
            tags = bench.ec2.describe_instances()["Reservations"][0]["Instances"][0]["Tags"]
            spec = [{"ResourceType": "volume", "Tags": tags}]
            left.append(bench.ec2.create_volume(Size=1, AvailabilityZone="us-east-1a", TagSpecifications=spec))

    left: list[Any] = []
    bench.bake(launch_block_device_mappings=[kept], on_event=leave_one)
    assert len(left) == 1


@scenario
def kept_and_resumed(bench: Bench) -> None:
    behaviour = bench.place.machines.behaviour
    for options in ({}, {"spot_price": "auto"}, {"temporary_iam_instance_profile_policy_document": DOCUMENT}):
        behaviour.on("make it", exits(1))
        error = bench.fails(FAILS, on_error="keep", **options)
        behaviour.answers.clear()
        bench.bake(resume=error.build, **options)


@scenario
def copied_and_shared(bench: Bench) -> None:
    bench.bake(
        ami_regions=COPIES,
        ami_users=["210987654321"],
        ami_product_codes=["abc"],
        snapshot_users=["210987654321"],
        imds_support="v2.0",
        deprecate_after="90d",
        deregistration_protection={"with_cooldown": True},
    )


@scenario
def copied_only(bench: Bench) -> None:
    bench.bake(ami_regions=COPIES, skip_save_build_region=True)


@scenario
def not_published(bench: Bench) -> None:
    bench.place.ec2.refuse("CreateTags", times=1)
    bench.fails(ami_regions=COPIES, deregistration_protection=True)


@scenario
def copy_failed(bench: Bench) -> None:
    bench.place.ec2.fail_images(region=COPIES[1], leave_snapshots=True)
    bench.fails(ami_regions=COPIES)


@scenario
def replacing(bench: Bench) -> None:
    bench.bake(ami_name="shop")
    bench.bake(ami_name="shop", force_deregister=True, force_delete_snapshot=True)


@scenario
def replacing_what_is_protected(bench: Bench) -> None:
    bench.bake(ami_name="shop")
    bench.bake(ami_name="shop", force_deregister=True, deregistration_protection=True)


@scenario
def replacing_with_a_snapshot(bench: Bench) -> None:
    mine = amibake.BlockDevice("sdf", snapshot_id=_snapshot(bench))
    bench.bake(ami_name="shop")
    bench.bake(ami_name="shop", force_deregister=True, ami_block_device_mappings=[mine])


@scenario
def from_a_snapshot(bench: Bench) -> None:
    bench.bake(launch_block_device_mappings=[amibake.BlockDevice("sdf", snapshot_id=_snapshot(bench))])


def _snapshot(bench: Bench) -> str:
    volume = bench.ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    snapshot: str = bench.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    return snapshot


@scenario
def encrypted(bench: Bench) -> None:
    there = KEY.replace("us-east-1", COPIES[0])
    bench.bake(encrypt_boot=True, kms_key_id=KEY, ami_regions={COPIES[0]: there})


@scenario
def spot(bench: Bench) -> None:
    zones = [one["SubnetId"] for one in bench.ec2.describe_subnets()["Subnets"][:2]]
    bench.bake(spot_price="auto", subnet_id=zones, run_volume_tags={"kind": "disk"})


@scenario
def spot_whose_template_was_lost(bench: Bench) -> None:
    bench.place.ec2.refuse("CreateLaunchTemplate", "InternalError")
    bench.fails(spot_price="auto", max_retries=0)


@scenario
def with_a_temporary_profile(bench: Bench) -> None:
    bench.bake(temporary_iam_instance_profile_policy_document=DOCUMENT)


@scenario
def with_a_profile(bench: Bench) -> None:
    iam = bench.recorder.client("iam", "us-east-1")
    iam.create_role(RoleName="web", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="web-servers")
    iam.add_role_to_instance_profile(InstanceProfileName="web-servers", RoleName="web")
    bench.bake(iam_instance_profile="web-servers")


@scenario
def with_things_of_the_users(bench: Bench) -> None:
    group = bench.ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    from_here = [{"CidrIp": "127.0.0.1/32"}]
    bench.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": from_here}]
    )
    bench.place.ec2.add_placement_group("near")
    bench.place.ec2.add_capacity_reservation("cr-0a1b2c3d")
    bench.bake(
        security_group_ids=[group],
        placement={"group_name": "near"},
        capacity_reservation_id="cr-0a1b2c3d",
        license_specifications=[f"arn:aws:license-manager:us-east-1:{ACCOUNT}:license-configuration:lic-0123"],
    )


@scenario
def with_a_key_of_the_users(bench: Bench) -> None:
    pair = make_key_pair()
    bench.ec2.import_key_pair(KeyName="me", PublicKeyMaterial=pair.public.encode())
    with NamedTemporaryFile() as file:
        file.write(pair.private)
        file.flush()
        bench.bake(ssh_keypair_name="me", ssh_private_key_file=file.name)


@scenario
def with_a_group_of_hosts(bench: Bench) -> None:
    bench.bake(placement={"host_resource_group_arn": f"{GROUPS}/hosts"})


@scenario
def with_a_group_of_reservations(bench: Bench) -> None:
    bench.bake(capacity_reservation_group_arn=f"{GROUPS}/reserved")


@scenario
def refused_in_code(bench: Bench) -> None:
    bench.features.add("decode")

    def decode(**_: Any) -> Any:  # moto does not know the call
        return SimpleNamespace(status_code=200), {"DecodedMessage": "explicit deny"}

    bench.place.session.events.register("before-call.sts.DecodeAuthorizationMessage", decode)
    bench.place.ec2.refuse("ImportKeyPair", message="No. Encoded authorization failure message: x9")
    assert "explicit deny" in str(bench.fails())


@scenario
def launched(bench: Bench) -> None:
    image = bench.bake(app="shop")
    key = bench.ec2.create_key_pair(KeyName="me")["KeyName"]
    bench.begin("launch")
    with amibake.launch(image, instance_type="t3.micro", key_name=key, session=bench.place.session) as instance:
        assert instance.state == "running"


class Killed(BaseException):
    """The end of the process: nothing that it still wants to say reaches AWS."""


def killed(bench: Bench, last: str, **options: Any) -> None:
    """A bake that dies once this call has been answered."""
    answered: list[str] = []

    def note(event_name: str, **_: Any) -> None:
        answered.append(event_name)

    def die(**_: Any) -> None:
        if answered:
            raise Killed

    events = bench.place.session.events  # which a client has as they are when it is made
    events.register(f"after-call.{last}", note)
    events.register("before-call", die)
    with suppress(Killed):
        bench.bake(**options)
        raise AssertionError("it went on")
    events.unregister(f"after-call.{last}", note)
    events.unregister("before-call", die)
    bench.place.clock.sleep(1)  # so that no two images have one name


@scenario
def swept(bench: Bench) -> None:
    killed(bench, "ec2.CreateFleet", spot_price="auto")
    killed(bench, "iam.AddRoleToInstanceProfile", temporary_iam_instance_profile_policy_document=DOCUMENT)
    killed(bench, "ec2.EnableImageDeregistrationProtection", ami_regions=COPIES, deregistration_protection=True)
    killed(bench, "ec2.CreateTags", ami_regions=COPIES)
    (image,) = bench.ec2.describe_images(Owners=["self"], Filters=[{"Name": "tag:amibake:state", "Values": ["draft"]}])[
        "Images"
    ]
    tags = image["Tags"]
    subnet = bench.ec2.describe_subnets()["Subnets"][0]
    for make, kind, where in (
        (bench.ec2.create_volume, "volume", {"Size": 1, "AvailabilityZone": subnet["AvailabilityZone"]}),
        (bench.ec2.create_network_interface, "network-interface", {"SubnetId": subnet["SubnetId"]}),
    ):
        make(**where, TagSpecifications=[{"ResourceType": kind, "Tags": tags}])
    bench.place.clock.sleep(24 * 3600)

    def regions(**_: Any) -> Any:  # there are more, and each takes its time
        found = [{"RegionName": region} for region in ("us-east-1", *COPIES)]
        return SimpleNamespace(status_code=200), {"Regions": found}

    bench.place.session.events.register("before-call.ec2.DescribeRegions", regions)
    bench.begin("sweep")
    found = amibake.sweep(regions="all", session=bench.place.session)
    assert (found.leftovers, found.warnings, found.spared) == ((), (), ())
