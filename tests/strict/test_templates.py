"""Launch templates."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest


def tags(kind: str, **pairs: str) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in pairs.items()]}


def tags_of(shown: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in shown.get("Tags", [])}


def create(cloud: Any, data: dict[str, Any], name: str = "template", **changes: Any) -> str:
    answer = cloud.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, **changes)
    template: str = answer["LaunchTemplate"]["LaunchTemplateId"]
    return template


def launch(cloud: Any, template: str, **changes: Any) -> Any:
    named = {"LaunchTemplateId": template}
    answer = cloud.ec2.run_instances(LaunchTemplate=named, MinCount=1, MaxCount=1, **changes)
    return cloud.instance(answer["Instances"][0]["InstanceId"])


def test_gives_a_launch_all_that_it_leaves_open(cloud: Any) -> None:
    group = cloud.ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    subnet = cloud.ec2.describe_subnets()["Subnets"][2]
    data = {
        "ImageId": cloud.image,
        "InstanceType": "t3.small",
        "UserData": b64encode(b"#!/bin/sh").decode(),
        "EbsOptimized": True,
        "MetadataOptions": {"HttpTokens": "required"},
        "CreditSpecification": {"CpuCredits": "standard"},
        "Placement": {"Tenancy": "dedicated"},
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30}},
            {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5}},
        ],
        "NetworkInterfaces": [
            {"DeviceIndex": 0, "SubnetId": subnet["SubnetId"], "Groups": [group], "AssociatePublicIpAddress": True}
        ],
        "TagSpecifications": [tags("instance", a="template", b="template"), tags("volume", v="template")],
    }
    template = create(cloud, data)
    shown = launch(
        cloud,
        template,
        TagSpecifications=[tags("instance", a="request")],
        BlockDeviceMappings=[{"DeviceName": "/dev/sdb", "NoDevice": ""}],
    )
    assert (shown["ImageId"], shown["InstanceType"], shown["EbsOptimized"]) == (cloud.image, "t3.small", True)
    assert (shown["MetadataOptions"]["HttpTokens"], shown["Placement"]["Tenancy"]) == ("required", "dedicated")
    assert (shown["SubnetId"], shown["SecurityGroups"][0]["GroupId"]) == (subnet["SubnetId"], group)
    assert shown["PublicIpAddress"]
    marks = {"aws:ec2launchtemplate:id": template, "aws:ec2launchtemplate:version": "1"}
    assert tags_of(shown) == {"a": "request", "b": "template", **marks}
    (volume,) = cloud.ec2.describe_volumes()["Volumes"]
    assert (volume["Size"], tags_of(volume)) == (30, {"v": "template"})
    assert cloud.machines.launches[-1].user_data == "#!/bin/sh"


def test_its_own_tags_are_its_own(cloud: Any) -> None:
    data = {"ImageId": cloud.image, "InstanceType": "t3.micro"}
    template = create(cloud, data, TagSpecifications=[tags("launch-template", build="7")])
    create(cloud, data, "other")
    by_tag = [{"Name": "tag:build", "Values": ["7"]}]
    (found,) = cloud.ec2.describe_launch_templates(Filters=by_tag)["LaunchTemplates"]
    assert (found["LaunchTemplateId"], tags_of(found)) == (template, {"build": "7"})
    assert "build" not in tags_of(launch(cloud, template))
    (version,) = cloud.ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"].get("TagSpecifications", []) == []
    cloud.ec2.create_tags(Resources=[template], Tags=[{"Key": "more", "Value": "x"}])
    (found,) = cloud.ec2.describe_launch_templates(LaunchTemplateIds=[template])["LaunchTemplates"]
    assert tags_of(found) == {"build": "7", "more": "x"}


def test_the_same_token_makes_one(cloud: Any) -> None:
    data = {"ImageId": cloud.image, "InstanceType": "t3.micro"}
    assert create(cloud, data, ClientToken="t") == create(cloud, data, ClientToken="t")
    assert len(cloud.ec2.describe_launch_templates()["LaunchTemplates"]) == 1


def test_a_version_keeps_what_its_source_has(cloud: Any) -> None:
    template = create(cloud, {"ImageId": cloud.image, "InstanceType": "t3.small", "UserData": b64encode(b"1").decode()})
    change = {"UserData": b64encode(b"2").decode()}
    cloud.ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData=change)
    newest = {"LaunchTemplateId": template, "Version": "$Latest"}
    answer = cloud.ec2.run_instances(LaunchTemplate=newest, MinCount=1, MaxCount=1)
    assert answer["Instances"][0]["InstanceType"] == "t3.small"
    assert cloud.machines.launches[-1].user_data == "2"
    alone = {"LaunchTemplateId": template, "LaunchTemplateData": {"ImageId": cloud.image}}
    cloud.ec2.create_launch_template_version(**alone)
    launch(cloud, template, InstanceType="t3.micro")
    assert cloud.machines.launches[-1].user_data == "1"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"UserData": "#!/bin/sh"}, "InvalidUserData.Malformed"),
        ({"TagSpecifications": [tags("instance", **{"aws:x": "y"})]}, "InvalidParameterValue"),
        ({"TagSpecifications": [tags("key-pair", a="b")]}, "InvalidParameterValue"),
    ],
)
def test_refuses_what_a_launch_would_refuse(cloud: Any, data: dict[str, Any], code: str) -> None:
    refused = cloud.refusal("create_launch_template", LaunchTemplateName="template", LaunchTemplateData=data)
    assert refused[0] == code
    assert cloud.ec2.describe_launch_templates()["LaunchTemplates"] == []


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"LaunchTemplateName": "nobody"}, "InvalidLaunchTemplateName.NotFoundException"),
        ({"LaunchTemplateId": "lt-0123456789abcdef0"}, "InvalidLaunchTemplateId.NotFound"),
        ({"LaunchTemplateId": "lt-0123456789abcdef0", "LaunchTemplateName": "name"}, "InvalidParameterCombination"),
        ({}, "MissingParameter"),
    ],
)
def test_those_that_are_not_there(cloud: Any, named: dict[str, str], code: str) -> None:
    assert cloud.refusal("delete_launch_template", **named)[0] == code
    if named:
        run = {"LaunchTemplate": named, "MinCount": 1, "MaxCount": 1}
        assert cloud.refusal("run_instances", **run)[0] == code
    if len(named) == 1:
        ((name, value),) = named.items()
        assert cloud.refusal("describe_launch_templates", **{f"{name}s": [value]})[0] == code


def test_are_deleted_by_id_or_name(cloud: Any) -> None:
    data = {"ImageId": cloud.image, "InstanceType": "t3.micro"}
    template = create(cloud, data)
    assert cloud.refusal("delete_launch_template", LaunchTemplateId=template, DryRun=True)[0] == "DryRunOperation"
    cloud.ec2.delete_launch_template(LaunchTemplateId=template)
    create(cloud, data)
    cloud.ec2.delete_launch_template(LaunchTemplateName="template")
    assert cloud.ec2.describe_launch_templates()["LaunchTemplates"] == []
