"""What is asked of EC2 for a builder: the options as RunInstances and launch templates want them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amibake.builder import BlockDevice, Builder
from amibake.builder.devices import ROOT
from amibake.builder.instance import BURSTABLE
from amibake.ec2.cloud import Cloud, tag_list
from amibake.ec2.source import SourceImage
from amibake.errors import InvalidOption

Request = dict[str, Any]
"""Arguments of RunInstances."""


def common_request(builder: Builder, source: SourceImage, *, key_name: str | None, profile: str | None) -> Request:
    """What every try to launch the builder has in common: all but its type and its place. `profile` is the name of a
    temporary instance profile."""
    wanted: Request = {
        "ImageId": source.id,
        "KeyName": key_name,
        "IamInstanceProfile": _profile(profile or builder.iam_instance_profile),
        "UserData": user_data(builder),
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
        "InstanceInitiatedShutdownBehavior": builder.shutdown_behavior,
        "TagSpecifications": [*cloud.specification("instance", "network-interface"), volume_tags(cloud, builder)],
        **credit_specification(builder, instance_type),
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


def credit_specification(builder: Builder, instance_type: str) -> Request:
    """For burstable types only: EC2 refuses it for others."""
    unlimited = builder.enable_unlimited_credits
    if unlimited is None or not is_burstable(instance_type):
        return {}
    return {"CreditSpecification": {"CpuCredits": "unlimited" if unlimited else "standard"}}


def is_burstable(instance_type: str) -> bool:
    """Whether it has CPU credits."""
    return instance_type.partition(".")[0] in BURSTABLE


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
    basis = {"Encrypted": True} if builder.encrypt_boot else {}
    return [
        {"DeviceName": device_name(device, source), **_content(device, basis)}
        for device in builder.ami_block_device_mappings
    ]


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


def check_devices(builder: Builder, source: SourceImage) -> None:
    """Raises InvalidOption where the block devices do not fit the source image's."""
    if mistakes := list(_device_mistakes(builder, source)):
        raise InvalidOption(*mistakes)


def check_default_encryption(cloud: Cloud, builder: Builder) -> None:
    """Raises InvalidOption where nothing encrypted is wanted and the account encrypts everything."""
    if builder.encrypt_boot is False and cloud.ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]:
        raise InvalidOption(f"encrypt_boot: False, but this account encrypts every volume in {cloud.region} by default")


def _device_mistakes(builder: Builder, source: SourceImage) -> Iterator[str]:
    for option in ("launch_block_device_mappings", "ami_block_device_mappings"):
        names = [device_name(device, source) for device in getattr(builder, option)]
        if names.count(source.root_device) > 1:
            yield f"{option}: root is {source.root_device}, which is there as well"
    left_out = set[str]()
    for device in builder.launch_block_device_mappings:
        name = device_name(device, source)
        if device.no_device or device.virtual_name:
            left_out.add(name)
        for mistake in _mistakes_of_one(builder, device, name, source):
            yield f"launch_block_device_mappings: {name} {mistake}"
    encrypted = [name for name in source.encrypted_devices if name not in left_out]
    if builder.encrypt_boot is False and encrypted:
        yield f"encrypt_boot: False, but {', '.join(encrypted)} of {source.id} is encrypted, which can't be undone"


def _mistakes_of_one(builder: Builder, device: BlockDevice, name: str, source: SourceImage) -> Iterator[str]:
    if device.no_device or device.virtual_name:
        if name == source.root_device:
            yield f"is the root device of {source.id}, without which the builder does not boot"
        return
    if name not in source.ebs_devices and not (device.volume_size or device.snapshot_id):
        yield f"is not in {source.id}: it needs volume_size or snapshot_id"
    if device.encrypted is False and name in source.encrypted_devices and not device.snapshot_id:
        yield f"is encrypted in {source.id}, which can't be undone"
    if builder.encrypt_boot is False and device.kms_key_id:
        yield "has a kms_key_id, but encrypt_boot is False"
