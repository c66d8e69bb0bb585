"""Options of RunInstances, each by what it changes."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID

from tests.strict.conftest import client

LICENSE = "arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-0123456789abcdef0"
HOSTS = "arn:aws:resource-groups:us-east-1:123456789012:group/hosts"


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (
            {"HttpTokens": "required", "HttpPutResponseHopLimit": 3, "InstanceMetadataTags": "enabled"},
            {"HttpTokens": "required", "HttpPutResponseHopLimit": 3, "InstanceMetadataTags": "enabled"},
        ),
        ({"HttpEndpoint": "disabled"}, {"HttpEndpoint": "disabled", "HttpTokens": "optional"}),
        ({}, {"HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1, "InstanceMetadataTags": "disabled"}),
    ],
)
def test_metadata_options(cloud: Any, asked: dict[str, Any], shown: dict[str, Any]) -> None:
    options = cloud.instance(cloud.run(MetadataOptions=asked))["MetadataOptions"]
    assert {name: options[name] for name in shown} == shown


def test_an_image_with_imds_support_makes_its_instances_need_tokens(cloud: Any) -> None:
    image = cloud.strict.add_image(name="modern", owner_id="136693071363", imds_support="v2.0")
    options = cloud.instance(cloud.run(ImageId=image))["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    asked = {"HttpTokens": "optional"}
    assert (
        cloud.instance(cloud.run(ImageId=image, MetadataOptions=asked))["MetadataOptions"]["HttpTokens"] == "optional"
    )


def test_placement(cloud: Any) -> None:
    cloud.strict.add_placement_group("near")
    dedicated = {"Tenancy": "dedicated", "AvailabilityZone": "us-east-1c", "GroupName": "near"}
    shown = cloud.instance(cloud.run(Placement=dedicated))["Placement"]
    assert {name: shown[name] for name in dedicated} == dedicated
    host = {"Tenancy": "host", "HostId": "h-0123456789abcdef0", "HostResourceGroupArn": HOSTS}
    shown = cloud.instance(cloud.run(Placement=host))["Placement"]
    assert {name: shown[name] for name in host} == host
    assert cloud.instance(cloud.run())["Placement"]["Tenancy"] == "default"


def test_what_else_is_shown(cloud: Any) -> None:
    reservation = {"CapacityReservationPreference": "none"}
    instance = cloud.run(
        CapacityReservationSpecification=reservation,
        EbsOptimized=True,
        EnclaveOptions={"Enabled": True},
        InstanceType="m5.xlarge",
        LicenseSpecifications=[{"LicenseConfigurationArn": LICENSE}],
        InstanceInitiatedShutdownBehavior="terminate",
        DisableApiTermination=True,
    )
    shown = cloud.instance(instance)
    assert shown["CapacityReservationSpecification"] == reservation
    assert (shown["EbsOptimized"], shown["EnclaveOptions"]) == (True, {"Enabled": True})
    assert shown["Licenses"] == [{"LicenseConfigurationArn": LICENSE}]
    named = {"InstanceId": instance, "Attribute": "instanceInitiatedShutdownBehavior"}
    attribute = cloud.ec2.describe_instance_attribute(**named)["InstanceInitiatedShutdownBehavior"]
    assert attribute == {"Value": "terminate"}
    assert cloud.refusal("terminate_instances", InstanceIds=[instance])[0] == "OperationNotPermitted"
    assert not {"Licenses", "EnclaveOptions", "CapacityReservationSpecification"} & set(cloud.instance(cloud.run()))


def test_the_shutdown_behaviour_of_a_stopped_instance_can_be_changed(cloud: Any) -> None:
    instance = cloud.stopped()
    change = {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}}
    cloud.ec2.modify_instance_attribute(InstanceId=instance, **change)
    named = {"InstanceId": instance, "Attribute": "instanceInitiatedShutdownBehavior"}
    assert cloud.ec2.describe_instance_attribute(**named)["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    assert cloud.state(instance) == "stopped"


def test_ena_and_sr_iov_of_an_instance_are_the_images(cloud: Any) -> None:
    old = cloud.strict.add_image(
        name="old", owner_id="136693071363", ena_support=False, sriov_net_support=None, boot_mode="legacy-bios"
    )
    instance = cloud.stopped(ImageId=old, InstanceType="t2.micro")
    cloud.ec2.modify_instance_attribute(InstanceId=instance, EnaSupport={"Value": True})
    cloud.ec2.modify_instance_attribute(InstanceId=instance, SriovNetSupport={"Value": "simple"})
    shown = cloud.describe_image(cloud.bake(instance=instance))
    assert (shown["EnaSupport"], shown["SriovNetSupport"], shown["BootMode"]) == (True, "simple", "legacy-bios")


class TestCredits:
    def of(self, cloud: Any, instance: str) -> list[str]:
        found = cloud.ec2.describe_instance_credit_specifications(InstanceIds=[instance])
        return [each["CpuCredits"] for each in found["InstanceCreditSpecifications"]]

    @pytest.mark.parametrize(
        ("instance_type", "usual"), [("t3.micro", ["unlimited"]), ("t2.micro", ["standard"]), ("m5.large", [])]
    )
    def test_depend_on_the_type(self, cloud: Any, instance_type: str, usual: list[str]) -> None:
        assert self.of(cloud, cloud.run(InstanceType=instance_type)) == usual

    def test_are_as_asked_for(self, cloud: Any) -> None:
        asked = {"InstanceType": "t3.micro", "CreditSpecification": {"CpuCredits": "standard"}}
        assert self.of(cloud, cloud.run(**asked)) == ["standard"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"MetadataOptions": {"HttpTokens": "maybe"}}, "InvalidParameterValue"),
        ({"MetadataOptions": {"HttpPutResponseHopLimit": 65}}, "InvalidParameterValue"),
        ({"Placement": {"Tenancy": "shared"}}, "InvalidParameterValue"),
        ({"Placement": {"HostId": "h-0123456789abcdef0"}}, "InvalidParameterCombination"),
        ({"CreditSpecification": {"CpuCredits": "plenty"}}, "InvalidParameterValue"),
        (
            {"CreditSpecification": {"CpuCredits": "standard"}, "InstanceType": "m5.large"},
            "InvalidParameterCombination",
        ),
        (
            {
                "MetadataOptions": {"InstanceMetadataTags": "enabled"},
                "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a/b", "Value": "c"}]}],
            },
            "InvalidParameterValue",
        ),
        (
            {"NetworkInterfaces": [{"DeviceIndex": 0}], "SecurityGroupIds": ["sg-0123456789abcdef0"]},
            "InvalidParameterCombination",
        ),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/no"}}, "InvalidParameterValue"),
        (
            {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "much"}}},
            "InvalidParameterValue",
        ),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"KmsKeyId": "alias/images"}}]},
            "InvalidParameterDependency",
        ),
    ],
)
def test_refused_and_nothing_is_left(cloud: Any, changes: dict[str, Any], code: str) -> None:
    request = {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | changes
    assert cloud.refusal("run_instances", **request)[0] == code
    assert cloud.ec2.describe_instances()["Reservations"] == []
    assert cloud.ec2.describe_volumes()["Volumes"] == []
    assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert cloud.machines.launches == []


class TestProfiles:
    @pytest.fixture
    def iam(self, cloud: Any) -> Any:
        assert cloud.ec2  # moto is there
        iam = client("iam", "us-east-1")
        iam.create_instance_profile(InstanceProfileName="builder")
        iam.create_role(RoleName="builder", AssumeRolePolicyDocument="{}")
        iam.add_role_to_instance_profile(InstanceProfileName="builder", RoleName="builder")
        return iam

    def test_by_name_or_arn(self, cloud: Any, iam: Any) -> None:
        profile = iam.get_instance_profile(InstanceProfileName="builder")["InstanceProfile"]
        expected = {"Arn": profile["Arn"], "Id": profile["InstanceProfileId"]}
        for named in ({"Name": "builder"}, {"Arn": profile["Arn"]}):
            assert cloud.instance(cloud.run(IamInstanceProfile=named))["IamInstanceProfile"] == expected

    @pytest.mark.usefixtures("iam")
    def test_are_unknown_for_a_while(self, cloud: Any) -> None:
        cloud.strict.profile_delay = 8.0
        request = {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        request["IamInstanceProfile"] = {"Name": "builder"}
        for _ in range(2):
            code, message = cloud.refusal("run_instances", **request, DryRun=True)
            assert code == "InvalidParameterValue"
            assert message == (
                "Value (builder) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
            )
            cloud.shop.now += 4
        assert cloud.refusal("run_instances", **request, DryRun=True)[0] == "DryRunOperation"
        assert cloud.instance(cloud.run(**request))["IamInstanceProfile"]["Arn"].endswith("/builder")

    def test_need_a_role(self, cloud: Any, iam: Any) -> None:
        iam.create_instance_profile(InstanceProfileName="empty")
        request = {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        code, message = cloud.refusal("run_instances", **request, IamInstanceProfile={"Name": "empty"})
        assert code == "InvalidParameterValue"
        assert "no associated IAM Roles" in message
        assert DEFAULT_ACCOUNT_ID in message


class TestAddresses:
    def test_ipv6_where_asked_for(self, cloud: Any) -> None:
        instance = cloud.run(NetworkInterfaces=[{"DeviceIndex": 0, "Ipv6AddressCount": 1}])
        shown = cloud.instance(instance)
        (address,) = shown["NetworkInterfaces"][0]["Ipv6Addresses"]
        assert address["Ipv6Address"] == shown["Ipv6Address"] == "fd00::a01:1"
        assert len(cloud.instance(cloud.run(Ipv6AddressCount=2))["NetworkInterfaces"][0]["Ipv6Addresses"]) == 2

    def test_no_ipv6_unasked_or_before_it_runs(self, cloud: Any) -> None:
        assert "Ipv6Address" not in cloud.instance(cloud.run())
        cloud.shop.closed = True
        assert "Ipv6Address" not in cloud.instance(cloud.run(Ipv6AddressCount=1))


class TestDevices:
    def test_of_an_encrypted_launch_are_encrypted_to_the_end(self, cloud: Any) -> None:
        root = {"VolumeSize": 16, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250}
        root |= {"Encrypted": True, "KmsKeyId": "alias/images"}
        devices = [
            {"DeviceName": "/dev/xvda", "Ebs": root},
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        ]
        instance = cloud.stopped(BlockDeviceMappings=devices)
        (volume,) = cloud.ec2.describe_volumes()["Volumes"]
        assert (volume["Size"], volume["VolumeType"], volume["Iops"], volume["Throughput"]) == (16, "gp3", 4000, 250)
        assert (volume["Encrypted"], volume["KmsKeyId"]) == (True, "alias/images")
        (mapping,) = cloud.describe_image(cloud.bake(instance=instance))["BlockDeviceMappings"]
        assert (mapping["Ebs"]["Encrypted"], mapping["Ebs"]["KmsKeyId"]) == (True, "alias/images")
        (snapshot,) = cloud.ec2.describe_snapshots(SnapshotIds=[mapping["Ebs"]["SnapshotId"]])["Snapshots"]
        assert (snapshot["Encrypted"], snapshot["KmsKeyId"]) == (True, "alias/images")

    def test_from_an_encrypted_snapshot_have_its_key(self, cloud: Any) -> None:
        root = [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "KmsKeyId": "alias/images"}}]
        image = cloud.bake(instance=cloud.stopped(BlockDeviceMappings=root))
        snapshot = cloud.describe_image(image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        instance = cloud.run(BlockDeviceMappings=[{"DeviceName": "/dev/sdc", "Ebs": {"SnapshotId": snapshot}}])
        attached = [{"Name": "attachment.instance-id", "Values": [instance]}]
        keys = {
            volume["Attachments"][0]["Device"]: volume.get("KmsKeyId")
            for volume in cloud.ec2.describe_volumes(Filters=attached)["Volumes"]
        }
        assert keys == {"/dev/xvda": None, "/dev/sdc": "alias/images"}


class TestTypes:
    def test_are_described(self, cloud: Any) -> None:
        (found,) = cloud.ec2.describe_instance_types(InstanceTypes=["t4g.micro"])["InstanceTypes"]
        assert found["ProcessorInfo"]["SupportedArchitectures"] == ["arm64"]
        assert cloud.refusal("describe_instance_types", InstanceTypes=["t3.nonsense"])[0] == "InvalidInstanceType"

    @pytest.mark.parametrize(
        ("location_type", "location"), [("region", "us-east-1"), ("availability-zone", "us-east-1a")]
    )
    def test_are_offered_somewhere(self, cloud: Any, location_type: str, location: str) -> None:
        filters = [
            {"Name": "instance-type", "Values": ["t3.micro", "t3.nonsense"]},
            {"Name": "location", "Values": [location]},
        ]
        found = cloud.ec2.describe_instance_type_offerings(LocationType=location_type, Filters=filters)
        (offer,) = found["InstanceTypeOfferings"]
        assert (offer["InstanceType"], offer["Location"]) == ("t3.micro", location)


def test_user_data_must_be_base64(cloud: Any) -> None:
    def spoil(params: Any, **_: Any) -> None:
        params["body"]["UserData"] = "#!/bin/sh"

    event = "before-call.ec2.RunInstances"
    cloud.ec2.meta.events.register(event, spoil)
    request = {"ImageId": cloud.image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "UserData": "x"}
    try:
        refused = cloud.refusal("run_instances", **request)
    finally:
        cloud.ec2.meta.events.unregister(event, spoil)
    assert refused[0] == "InvalidUserData.Malformed"
    cloud.run(UserData=b64encode(b"#!/bin/sh").decode())
    assert cloud.machines.launches[-1].user_data == b64encode(b"#!/bin/sh").decode()  # the client encodes once more
