"""What each option becomes in the request that is sent, and what it comes to in the account."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amibake.builder import BlockDevice, MetadataOptions, Placement
from amibake.ec2.cloud import Cloud
from amibake.ec2.devices import check_default_encryption, check_devices
from amibake.ec2.network import Network
from amibake.ec2.source import SourceImage, find_source_image
from amibake.errors import InvalidOption
from amibake.strict import StrictEC2
from tests.ec2.support import builder, launched, tags, wire


@pytest.fixture
def old(cloud: Cloud, strict: StrictEC2) -> SourceImage:
    jessie = strict.add_image(
        name="jessie", owner_id="1", root_device_name="/dev/sda1", creation_date="2015-06-13T00:00:00+00:00"
    )
    return find_source_image(cloud, jessie)


LICENSE = "arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-1"
RESERVATIONS = "arn:aws:resource-groups:us-east-1:123456789012:group/reservations"
HOSTS = "arn:aws:resource-groups:us-east-1:123456789012:group/hosts"


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, {"InstanceType": "t3.micro", "InstanceInitiatedShutdownBehavior": "terminate"}),
        ({"communicator": "none", "disable_stop_instance": True}, {"InstanceInitiatedShutdownBehavior": "stop"}),
        ({"shutdown_behavior": "stop"}, {"InstanceInitiatedShutdownBehavior": "stop"}),
        ({"instance_type": "t3a.micro"}, {"InstanceType": "t3a.micro"}),
        ({"shutdown_behavior": "terminate"}, {"InstanceInitiatedShutdownBehavior": "terminate"}),
        ({"ebs_optimized": True}, {"EbsOptimized": "true"}),
        ({"ebs_optimized": False}, {"EbsOptimized": "false"}),
        ({"enable_nitro_enclave": True, "instance_type": "m5.xlarge"}, {"EnclaveOptions.Enabled": "true"}),
        ({"enable_unlimited_credits": True}, {"CreditSpecification.CpuCredits": "unlimited"}),
        ({"enable_unlimited_credits": False}, {"CreditSpecification.CpuCredits": "standard"}),
        ({"license_specifications": [LICENSE]}, {"LicenseSpecification.1.LicenseConfigurationArn": LICENSE}),
        ({"availability_zone": "us-east-1b"}, {"Placement.AvailabilityZone": "us-east-1b"}),
        (
            {"placement": Placement(tenancy="dedicated", group_name="tight")},
            {"Placement.Tenancy": "dedicated", "Placement.GroupName": "tight"},
        ),
        ({"placement": {"host_id": "h-1"}}, {"Placement.HostId": "h-1", "Placement.Tenancy": "host"}),
        ({"placement": {"host_resource_group_arn": HOSTS}}, {"Placement.HostResourceGroupArn": HOSTS}),
        (
            {"capacity_reservation_preference": "none"},
            {"CapacityReservationSpecification.CapacityReservationPreference": "none"},
        ),
        (
            {"capacity_reservation_id": "cr-1"},
            {"CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId": "cr-1"},
        ),
        (
            {"capacity_reservation_group_arn": RESERVATIONS},
            {
                "CapacityReservationSpecification.CapacityReservationTarget."
                "CapacityReservationResourceGroupArn": RESERVATIONS
            },
        ),
        ({}, {"MetadataOptions.HttpTokens": "required", "MetadataOptions.HttpEndpoint": "enabled"}),
        ({"metadata_options": {"http_tokens": "optional"}}, {"MetadataOptions.HttpTokens": "optional"}),
        ({"metadata_options": {"http_endpoint": "disabled"}}, {"MetadataOptions.HttpEndpoint": "disabled"}),
        (
            {"metadata_options": MetadataOptions(http_put_response_hop_limit=2, instance_metadata_tags="enabled")},
            {"MetadataOptions.HttpPutResponseHopLimit": "2", "MetadataOptions.InstanceMetadataTags": "enabled"},
        ),
        (
            {"associate_public_ip_address": True},
            {"NetworkInterface.1.AssociatePublicIpAddress": "true", "NetworkInterface.1.DeviceIndex": "0"},
        ),
        ({"associate_public_ip_address": False}, {"NetworkInterface.1.AssociatePublicIpAddress": "false"}),
        ({"ssh_interface": "ipv6"}, {"Ipv6AddressCount": "1"}),
        (
            {"ssh_interface": "ipv6", "associate_public_ip_address": False},
            {"NetworkInterface.1.Ipv6AddressCount": "1"},
        ),
        ({"encrypt_boot": True}, {"BlockDeviceMapping.1.Ebs.Encrypted": "true"}),
    ],
)
def test_an_option_is_sent(
    cloud: Cloud, source: SourceImage, strict: StrictEC2, options: dict[str, Any], sent: dict[str, str]
) -> None:
    strict.add_placement_group("tight")
    strict.add_capacity_reservation("cr-1")
    calls = wire(cloud, "RunInstances")
    with launched(cloud, builder(**options), source):
        pass
    (call,) = calls
    assert {key: call.get(key) for key in sent} == sent


def test_what_nobody_has_asked_for_is_left_to_ec2(cloud: Cloud, source: SourceImage) -> None:
    calls = wire(cloud, "RunInstances")
    with launched(cloud, builder(), source):
        pass
    known = ("Action", "BlockDevice", "ClientToken", "ImageId", "Instance", "M", "TagSpecification", "Version")
    assert [key for key in calls[0] if not key.startswith(known)] == []


def test_subnet_groups_key_and_profile_reach_the_instance(cloud: Cloud, source: SourceImage) -> None:
    cloud.ec2.create_key_pair(KeyName="mine")
    subnet = cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = cloud.ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    profile(cloud)
    for public in (None, False):
        options = builder(iam_instance_profile="web", subnet_id=subnet, associate_public_ip_address=public)
        other = another(cloud, f"{public}")
        with launched(other, options, source, Network(None, (subnet,)), key_name="mine", group_ids=[group]) as machine:
            found = machine.describe()
            assert found is not None
            assert (found["SubnetId"], found["KeyName"]) == (subnet, "mine")
            assert [one["GroupId"] for one in found["SecurityGroups"]] == [group]
            assert found["IamInstanceProfile"]["Arn"].endswith("/web")


def profile(cloud: Cloud) -> str:
    """An instance profile "web" of the user's; answers with its ARN."""
    iam = cloud.clients.service("iam", "us-east-1")
    made = iam.create_instance_profile(InstanceProfileName="web")["InstanceProfile"]
    iam.create_role(RoleName="web", AssumeRolePolicyDocument="{}")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    arn: str = made["Arn"]
    return arn


def another(cloud: Cloud, build: str) -> Cloud:
    """Another bake in the same account."""
    return replace(cloud, build=build, tags={**cloud.tags, "amibake:build": build})


def test_an_instance_profile_may_be_given_by_its_arn(cloud: Cloud, source: SourceImage) -> None:
    calls, arn = wire(cloud, "RunInstances"), profile(cloud)
    with launched(cloud, builder(iam_instance_profile=arn), source):
        pass
    assert calls[0]["IamInstanceProfile.Arn"] == arn


def test_what_was_asked_for_is_what_ec2_shows(cloud: Cloud, source: SourceImage) -> None:
    options = builder(
        placement={"tenancy": "dedicated"},
        ebs_optimized=True,
        enable_unlimited_credits=False,
        license_specifications=[LICENSE],
        capacity_reservation_preference="none",
        availability_zone="us-east-1c",
        metadata_options={"http_put_response_hop_limit": 2, "instance_metadata_tags": "enabled"},
        ssh_interface="ipv6",
        shutdown_behavior="terminate",
    )
    with launched(cloud, options, source) as machine:
        found: Any = machine.describe()
        assert (found["Placement"]["Tenancy"], found["Placement"]["AvailabilityZone"]) == ("dedicated", "us-east-1c")
        assert found["EbsOptimized"] is True
        assert found["Licenses"] == [{"LicenseConfigurationArn": LICENSE}]
        assert found["CapacityReservationSpecification"]["CapacityReservationPreference"] == "none"
        shown = {name: found["MetadataOptions"][name] for name in ("HttpTokens", "HttpPutResponseHopLimit")}
        assert shown == {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}
        assert found["MetadataOptions"]["InstanceMetadataTags"] == "enabled"
        (credits_,) = cloud.ec2.describe_instance_credit_specifications(InstanceIds=[machine.id])[
            "InstanceCreditSpecifications"
        ]
        assert credits_.get("CpuCredits") == "standard"
        behaviour = cloud.ec2.describe_instance_attribute(
            InstanceId=machine.id, Attribute="instanceInitiatedShutdownBehavior"
        )
        assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"


def test_user_data_is_sent_as_text_or_from_a_file(cloud: Cloud, source: SourceImage, tmp_path: Path) -> None:
    script = tmp_path / "user-data.sh"
    script.write_text("#!/bin/sh\necho größe\n", encoding="utf-8")
    calls = wire(cloud, "RunInstances")
    for number, options in enumerate([builder(user_data="test"), builder(user_data_file=script)]):
        with launched(another(cloud, f"{number}"), options, source):
            pass
    assert [b64decode(call["UserData"]).decode() for call in calls] == ["test", "#!/bin/sh\necho größe\n"]


def test_everything_of_the_builder_is_tagged_from_its_first_moment(cloud: Cloud, source: SourceImage) -> None:
    with launched(cloud, builder(run_volume_tags={"disk": "yes", "Name": "disk"}), source) as machine:
        instance = machine.describe()
        (volume,) = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
        (interface,) = cloud.ec2.describe_network_interfaces(Filters=cloud.of_this_build())["NetworkInterfaces"]
        assert instance is not None
        assert tags(instance) == dict(cloud.tags)
        assert tags(volume) == {**cloud.tags, "disk": "yes", "Name": "disk"}
        assert {tag["Key"]: tag["Value"] for tag in interface["TagSet"]} == dict(cloud.tags)


def test_version_1_of_the_metadata_service_is_open_for_old_images_only_and_said_so(
    cloud: Cloud, old: SourceImage
) -> None:
    calls = wire(cloud, "RunInstances")
    with launched(cloud, builder(), old):
        pass
    (warning,) = cloud.ledger.warnings
    assert f"since {old.id} is from 2015-06-13" in warning
    for number, options in enumerate([{"http_tokens": "required"}, {"http_endpoint": "disabled"}]):
        with launched(another(cloud, f"{number}"), builder(metadata_options=options), old):
            pass
    assert [call["MetadataOptions.HttpTokens"] for call in calls] == ["optional", "required", "required"]
    assert len(cloud.ledger.warnings) == 1


def devices(cloud: Cloud, *mappings: BlockDevice, source: SourceImage, **options: Any) -> dict[str, dict[str, Any]]:
    """The volumes of a builder, by device."""
    with launched(cloud, builder(launch_block_device_mappings=mappings, **options), source):
        volumes = cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"]
        return {volume["Attachments"][0]["Device"]: dict(volume) for volume in volumes}


def test_root_is_the_root_device_whatever_its_name(cloud: Cloud, old: SourceImage) -> None:
    root = BlockDevice("root", volume_size=16, volume_type="gp3", iops=4000, throughput=250)
    (found,) = devices(cloud, root, source=old).items()
    device, volume = found
    assert (device, volume["Size"], volume["VolumeType"]) == ("/dev/sda1", 16, "gp3")
    assert (volume["Iops"], volume["Throughput"]) == (4000, 250)
    assert cloud.ec2.describe_volumes()["Volumes"] == []


def test_more_devices_may_be_added_and_go_with_the_builder(cloud: Cloud, source: SourceImage) -> None:
    snapshot = cloud.ec2.create_snapshot(
        VolumeId=cloud.ec2.create_volume(Size=3, AvailabilityZone="us-east-1a")["VolumeId"]
    )["SnapshotId"]
    found = devices(
        cloud,
        BlockDevice("/dev/sdf", volume_size=5),
        BlockDevice("/dev/sdg", snapshot_id=snapshot),
        source=source,
    )
    assert {device: volume["Size"] for device, volume in found.items()} == {
        "/dev/xvda": 8,
        "/dev/sdf": 5,
        "/dev/sdg": 3,
    }
    assert found["/dev/sdg"]["SnapshotId"] == snapshot
    assert cloud.ec2.describe_volumes(Filters=cloud.of_this_build())["Volumes"] == []


def test_devices_that_are_left_out_or_instance_store_are_said_as_such(cloud: Cloud, source: SourceImage) -> None:
    calls = wire(cloud, "RunInstances")
    devices(
        cloud,
        BlockDevice("/dev/sdh", no_device=True),
        BlockDevice("/dev/sdi", virtual_name="ephemeral0"),
        source=source,
    )
    mapping = {key.removeprefix("BlockDeviceMapping."): value for key, value in calls[0].items() if "Mapping." in key}
    assert mapping == {
        "1.DeviceName": "/dev/xvda",
        "1.Ebs.DeleteOnTermination": "true",
        "2.DeviceName": "/dev/sdh",
        "2.NoDevice": "",
        "3.DeviceName": "/dev/sdi",
        "3.VirtualName": "ephemeral0",
    }


def test_encrypt_boot_encrypts_every_volume_from_the_start(cloud: Cloud, source: SourceImage) -> None:
    key = cloud.clients.service("kms", "us-east-1").create_key()["KeyMetadata"]["Arn"]
    other = cloud.clients.service("kms", "us-east-1").create_key()["KeyMetadata"]["Arn"]
    found = devices(
        cloud,
        BlockDevice("/dev/sdf", volume_size=5),
        BlockDevice("/dev/sdg", volume_size=5, kms_key_id=other),
        source=source,
        encrypt_boot=True,
        kms_key_id=key,
    )
    assert {device: (volume["Encrypted"], volume["KmsKeyId"]) for device, volume in found.items()} == {
        "/dev/xvda": (True, key),
        "/dev/sdf": (True, key),
        "/dev/sdg": (True, other),
    }


def test_one_device_alone_may_be_encrypted(cloud: Cloud, source: SourceImage) -> None:
    calls = wire(cloud, "RunInstances")
    found = devices(
        cloud,
        BlockDevice("root", kms_key_id="alias/aws/ebs"),
        BlockDevice("/dev/sdf", volume_size=5, encrypted=True),
        BlockDevice("/dev/sdg", volume_size=5, encrypted=False),
        source=source,
    )
    assert {device: volume["Encrypted"] for device, volume in found.items()} == {
        "/dev/xvda": True,
        "/dev/sdf": True,
        "/dev/sdg": False,
    }
    assert calls[0]["BlockDeviceMapping.1.Ebs.KmsKeyId"] == "alias/aws/ebs"
    assert calls[0]["BlockDeviceMapping.3.Ebs.Encrypted"] == "false"


IMAGE = SourceImage(
    "ami-12345678",
    "debian",
    "1",
    "2026-01-01T00:00:00.000Z",
    root_device="/dev/sda1",
    ebs_devices=("/dev/sda1", "/dev/sdb"),
    encrypted_devices=("/dev/sdb",),
)


@pytest.mark.parametrize(
    ("options", "mistakes"),
    [
        ({"encrypt_boot": False}, ["encrypt_boot: False, but /dev/sdb of ami-12345678 is encrypted"]),
        (
            {"launch_block_device_mappings": [BlockDevice("/dev/sdb", encrypted=False)]},
            ["launch_block_device_mappings: /dev/sdb is encrypted in ami-12345678"],
        ),
        (
            {"encrypt_boot": False, "launch_block_device_mappings": [BlockDevice("root", kms_key_id="alias/k")]},
            ["launch_block_device_mappings: /dev/sda1 has a kms_key_id", "encrypt_boot: False, but /dev/sdb"],
        ),
        (
            {"launch_block_device_mappings": [BlockDevice("/dev/sdf", volume_type="gp3")]},
            ["launch_block_device_mappings: /dev/sdf is not in ami-12345678: it needs volume_size or snapshot_id"],
        ),
        (
            {"launch_block_device_mappings": [BlockDevice("/dev/sda1", no_device=True)]},
            ["launch_block_device_mappings: /dev/sda1 is the root device of ami-12345678, without which"],
        ),
        (
            {"launch_block_device_mappings": [BlockDevice("root", volume_size=9), BlockDevice("/dev/sda1")]},
            ["launch_block_device_mappings: root is /dev/sda1, which is there as well"],
        ),
        (
            {"ami_block_device_mappings": [BlockDevice("root"), BlockDevice("/dev/sda1")]},
            ["ami_block_device_mappings: root is /dev/sda1, which is there as well"],
        ),
    ],
)
def test_devices_that_do_not_fit_the_source_image_are_refused(options: dict[str, Any], mistakes: list[str]) -> None:
    with pytest.raises(InvalidOption) as caught:
        check_devices(builder(**options), IMAGE)
    assert len(caught.value.mistakes) == len(mistakes)
    for found, expected in zip(caught.value.mistakes, mistakes, strict=True):
        assert found.startswith(expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encrypt_boot": True},
        {"encrypt_boot": False, "launch_block_device_mappings": [BlockDevice("/dev/sdb", no_device=True)]},
        {"launch_block_device_mappings": [BlockDevice("root", encrypted=False), BlockDevice("/dev/sdb")]},
    ],
)
def test_devices_that_fit_are_not(options: dict[str, Any]) -> None:
    check_devices(builder(**options), IMAGE)


def test_an_account_that_encrypts_everything_makes_nothing_unencrypted(cloud: Cloud) -> None:
    check_default_encryption(cloud, builder(encrypt_boot=False), [cloud.region])
    cloud.ec2.enable_ebs_encryption_by_default()
    check_default_encryption(cloud, builder(), [cloud.region])
    with pytest.raises(InvalidOption, match="encrypt_boot: False, but this account encrypts every volume"):
        check_default_encryption(cloud, builder(encrypt_boot=False), [cloud.region])
    cloud.ec2.disable_ebs_encryption_by_default()
