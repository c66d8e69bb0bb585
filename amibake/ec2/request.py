"""What is asked of EC2 for a builder: the options as RunInstances and launch templates want them."""

from __future__ import annotations

from typing import Any

from amibake.builder import BlockDevice, Builder
from amibake.builder.devices import ROOT
from amibake.ec2.cloud import Cloud, tag_list
from amibake.ec2.source import SourceImage

Request = dict[str, Any]
"""Arguments of RunInstances."""


def common_request(
    builder: Builder, source: SourceImage, *, key_name: str | None, profile: str | None, given: str | None = None
) -> Request:
    """What every try to launch the builder has in common: all but its type and its place. `profile` is the name of a
    temporary instance profile, `given` user data in place of the options'."""
    wanted: Request = {
        "ImageId": source.id,
        "KeyName": key_name,
        "IamInstanceProfile": _profile(profile or builder.iam_instance_profile),
        "InstanceInitiatedShutdownBehavior": "terminate" if builder.ends_itself else "stop",
        "UserData": given if given is not None else user_data(builder),
        "MetadataOptions": metadata_options(builder, source),
        "EbsOptimized": builder.ebs_optimized,
        "EnclaveOptions": {"Enabled": True} if builder.enable_nitro_enclave else None,
        "LicenseSpecifications": [{"LicenseConfigurationArn": arn} for arn in builder.license_specifications] or None,
        "CapacityReservationSpecification": _capacity_reservation(builder),
        "BlockDeviceMappings": block_device_mappings(builder, source),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def instance_request(
    cloud: Cloud, builder: Builder, common: Request, instance_type: str, subnet_id: str | None, group_ids: list[str]
) -> Request:
    """The RunInstances request for a builder on demand of one type in one subnet; with None EC2 chooses."""
    zone = builder.availability_zone if subnet_id is None else None
    place = placement(builder, zone)
    return {
        **common,
        "InstanceType": instance_type,
        "TagSpecifications": [*cloud.specification("instance", "network-interface"), volume_tags(cloud, builder)],
        **credit_specification(builder),
        **({"Placement": place} if place else {}),
        **network_placement(
            subnet_id,
            group_ids,
            public=builder.associate_public_ip_address,
            ipv6=builder.ssh_interface == "ipv6",
        ),
    }


def network_placement(
    subnet_id: str | None, group_ids: list[str], *, public: bool | None, ipv6: bool = False
) -> Request:
    """The part of a RunInstances request that says where in the network. A public address, asked for or declined,
    has to be said of an interface, and then everything else as well."""
    subnet = {"SubnetId": subnet_id} if subnet_id is not None else {}
    addresses = {"Ipv6AddressCount": 1} if ipv6 else {}
    if public is None:
        return {**subnet, **addresses, **({"SecurityGroupIds": group_ids} if group_ids else {})}
    return {"NetworkInterfaces": [{**_interface(group_ids), "AssociatePublicIpAddress": public, **addresses, **subnet}]}


def template_network(builder: Builder, group_ids: list[str]) -> Request:
    """The same for a launch template, to which the subnet comes only later, and whose IPv6 addresses have to be said
    of an interface too."""
    public, ipv6 = builder.associate_public_ip_address, builder.ssh_interface == "ipv6"
    if public is None and not ipv6:
        return {"SecurityGroupIds": group_ids} if group_ids else {}
    interface = _interface(group_ids)
    if public is not None:
        interface["AssociatePublicIpAddress"] = public
    if ipv6:
        interface["Ipv6AddressCount"] = 1
    return {"NetworkInterfaces": [interface]}


def _interface(group_ids: list[str]) -> Request:
    return {"DeviceIndex": 0, "DeleteOnTermination": True, **({"Groups": group_ids} if group_ids else {})}


def placement(builder: Builder, availability_zone: str | None) -> Request:
    """Where in EC2's data centre; empty for wherever EC2 likes."""
    wanted: Request = {"AvailabilityZone": availability_zone}
    if place := builder.placement:
        tenancy = place.tenancy or ("host" if place.host_id or place.host_resource_group_arn else None)
        wanted |= {
            "Tenancy": tenancy,
            "HostId": place.host_id,
            "HostResourceGroupArn": place.host_resource_group_arn,
            "GroupName": place.group_name,
        }
    return {name: value for name, value in wanted.items() if value is not None}


def credit_specification(builder: Builder) -> Request:
    """For burstable types only, of which the options see to it that there are no others."""
    unlimited = builder.enable_unlimited_credits
    if unlimited is None:
        return {}
    return {"CreditSpecification": {"CpuCredits": "unlimited" if unlimited else "standard"}}


def volume_tags(cloud: Cloud, builder: Builder) -> Request:
    """The TagSpecification of the builder's volumes."""
    return {"ResourceType": "volume", "Tags": tag_list({**cloud.tags, **builder.run_volume_tags})}


def user_data(builder: Builder) -> str | None:
    """The user data as plain text."""
    if builder.user_data_file is not None:
        return builder.user_data_file.expanduser().read_text(encoding="utf-8")
    return builder.user_data


def metadata_options(builder: Builder, source: SourceImage) -> Request:
    """The builder's metadata service; EC2's default for what nobody has said."""
    options = builder.metadata_options
    wanted = {
        "HttpEndpoint": options.http_endpoint,
        "HttpTokens": options.http_tokens or ("optional" if tokens_are_optional(builder, source) else "required"),
        "HttpPutResponseHopLimit": options.http_put_response_hop_limit,
        "InstanceMetadataTags": options.instance_metadata_tags,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def tokens_are_optional(builder: Builder, source: SourceImage) -> bool:
    """Whether version 1 of the metadata service is let in only because the source image is old."""
    options = builder.metadata_options
    return source.is_old and options.http_tokens is None and options.http_endpoint == "enabled"


def _profile(name: str | None) -> Request | None:
    if name is None:
        return None
    return {"Arn" if name.startswith("arn:") else "Name": name}


def _capacity_reservation(builder: Builder) -> Request | None:
    if builder.capacity_reservation_preference:
        return {"CapacityReservationPreference": builder.capacity_reservation_preference}
    if builder.capacity_reservation_id:
        return {"CapacityReservationTarget": {"CapacityReservationId": builder.capacity_reservation_id}}
    if arn := builder.capacity_reservation_group_arn:
        return {"CapacityReservationTarget": {"CapacityReservationResourceGroupArn": arn}}
    return None


def block_device_mappings(builder: Builder, source: SourceImage) -> list[Request]:
    """Every EBS device of the source image, laid over with the builder's own: all of them go with the instance, and
    are encrypted where the image is to be, so that no unencrypted snapshot of them ever exists."""
    encryption = {"Encrypted": True, "KmsKeyId": builder.kms_key_id} if builder.encrypt_boot else {}
    basis = {"DeleteOnTermination": True, **{name: value for name, value in encryption.items() if value is not None}}
    mappings: dict[str, Request] = {name: {"DeviceName": name, "Ebs": basis} for name in source.ebs_devices}
    for device in builder.launch_block_device_mappings:
        name = device_name(device, source)
        mappings[name] = {"DeviceName": name, **_content(device, basis)}
    return list(mappings.values())


def image_mappings(builder: Builder, source: SourceImage) -> list[Request]:
    """What of the image's devices is not as it is on the builder: the BlockDeviceMappings of CreateImage."""
    attached = device_names(builder, source)
    mappings = []
    for device in builder.ami_block_device_mappings:
        name = device_name(device, source)
        new = name not in attached and device.snapshot_id is None  # a snapshot, and a volume, says it by itself
        basis = {"Encrypted": True} if builder.encrypt_boot and new else {}
        mappings.append({"DeviceName": name, **_content(device, basis)})
    return mappings


def device_names(builder: Builder, source: SourceImage) -> set[str]:
    """What the builder's EBS volumes are called."""
    launched = {device_name(device, source): device for device in builder.launch_block_device_mappings}
    absent = {name for name, device in launched.items() if device.no_device or device.virtual_name}
    return {*source.ebs_devices, *launched} - absent


def device_name(device: BlockDevice, source: SourceImage) -> str:
    """What EC2 calls it."""
    return source.root_device if device.device_name == ROOT else device.device_name


def _content(device: BlockDevice, basis: Request) -> Request:
    if device.no_device:
        return {"NoDevice": ""}
    if device.virtual_name:
        return {"VirtualName": device.virtual_name}
    given = {
        "VolumeSize": device.volume_size,
        "VolumeType": device.volume_type,
        "Iops": device.iops,
        "Throughput": device.throughput,
        "Encrypted": True if device.kms_key_id else device.encrypted,
        "KmsKeyId": device.kms_key_id,
        "SnapshotId": device.snapshot_id,
        "DeleteOnTermination": device.delete_on_termination,
    }
    return {"Ebs": {**basis, **{name: value for name, value in given.items() if value is not None}}}
