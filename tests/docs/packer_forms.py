"""Options whose verdict is "same": what a template of Packer's may have for each, with what else it needs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEY = "alias/images"
ACCOUNT = "210987654321"
ROLE = "arn:aws:iam::123456789012:role/baker"
LICENSE = "arn:aws:license-manager:eu-west-1:123456789012:license-configuration:lic-0123"
ORGANISATION = "arn:aws:organizations::123456789012:organization/o-123example"
UNIT = "arn:aws:organizations::123456789012:ou/o-123example/ou-1234-5example"
POLICY = {"Version": "2012-10-17", "Statement": [{"Action": ["logs:*"], "Effect": "Allow", "Resource": ["*"]}]}
SPOT = {"spot_price": "auto", "instance_type": "t3.micro"}
BASTION = {"ssh_bastion_host": "bastion.example.com", "ssh_bastion_password": "p"}


def _device(**fields: Any) -> dict[str, Any]:
    return {"launch_block_device_mappings": [{"device_name": "/dev/xvdb", **fields}]}


def _role(**fields: Any) -> dict[str, Any]:
    return {"assume_role": {"role_arn": ROLE, **fields}}


def _source(**fields: Any) -> dict[str, Any]:
    filters = {"name": "debian-12-amd64-*", "root-device-type": "ebs", "virtualization-type": "hvm"}
    return {"source_ami_filter": {"filters": filters, "owners": ["136693071363"], "most_recent": True, **fields}}


def _subnet(**fields: Any) -> dict[str, Any]:
    return {"subnet_filter": {"filters": {"tag:Class": "build"}, **fields}}


def _metadata(**fields: Any) -> dict[str, Any]:
    return {"metadata_options": {"http_endpoint": "enabled", "http_tokens": "required", **fields}}


def _each(name: str, *values: Any, **others: Any) -> list[dict[str, Any]]:
    return [{name: value, **others} for value in values]


FORMS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "region": _each("region", "eu-west-1", "us-gov-west-1"),
    "access_key": _each("access_key", "AKIAEXAMPLE", secret_key="s"),
    "secret_key": _each("secret_key", "s", access_key="AKIAEXAMPLE"),
    "token": _each("token", "t", access_key="ASIAEXAMPLE", secret_key="s"),
    "profile": _each("profile", "build"),
    "assume_role.role_arn": [_role()],
    "assume_role.duration_seconds": [_role(duration_seconds=3600)],
    "assume_role.external_id": [_role(external_id="id")],
    "assume_role.policy": [_role(policy=str(POLICY).replace("'", '"'))],
    "assume_role.policy_arns": [_role(policy_arns=["arn:aws:iam::aws:policy/AmazonEC2FullAccess"])],
    "assume_role.session_name": [_role(session_name="SESSION_NAME")],
    "assume_role.tags": [_role(tags={"team": "web"})],
    "assume_role.transitive_tag_keys": [_role(tags={"team": "web"}, transitive_tag_keys=["team"])],
    "max_retries": _each("max_retries", 0, 10),
    "ami_name": _each("ami_name", "web {{timestamp}}", "web-{{isotime | clean_resource_name}}"),
    "ami_description": _each("ami_description", "", "of {{ .SourceAMI }}"),
    "run_volume_tags": _each("run_volume_tags", {"team": "web"}),
    "ami_users": _each("ami_users", [ACCOUNT]),
    "ami_groups": _each("ami_groups", ["all"]),
    "ami_org_arns": _each("ami_org_arns", [ORGANISATION]),
    "ami_ou_arns": _each("ami_ou_arns", [UNIT]),
    "snapshot_users": _each("snapshot_users", [ACCOUNT]),
    "snapshot_groups": _each("snapshot_groups", ["all"]),
    "ami_product_codes": _each("ami_product_codes", ["abcdefghijklmnopqrstuvwxy"]),
    "snapshot_copy_duration_minutes": _each("snapshot_copy_duration_minutes", 15, 2880, ami_regions=["us-east-1"]),
    "kms_key_id": _each(
        "kms_key_id",
        KEY,
        "1a2b3c4d-5e6f-1a2b-3c4d-5e6f1a2b3c4d",
        "mrk-1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d",
        "arn:aws:kms:eu-west-1:123456789012:key/1a2b3c4d-5e6f-1a2b-3c4d-5e6f1a2b3c4d",
        encrypt_boot=True,
    ),
    "region_kms_key_ids": _each(
        "region_kms_key_ids", {"us-east-1": KEY}, ami_regions=["us-east-1"], encrypt_boot=True, kms_key_id=KEY
    ),
    "skip_save_build_region": _each("skip_save_build_region", True, ami_regions=["us-east-1"]),
    "skip_create_ami": _each("skip_create_ami", True, False),
    "deprecate_at": _each("deprecate_at", "2036-04-01T00:00:00Z", "2036-04-01T00:00:00.123Z"),
    "deregistration_protection": _each("deregistration_protection", {"enabled": True, "with_cooldown": True}),
    "deregistration_protection.enabled": _each("deregistration_protection", {"enabled": True}, {"enabled": False}),
    "deregistration_protection.with_cooldown": _each(
        "deregistration_protection", {"enabled": True, "with_cooldown": False}
    ),
    "imds_support": _each("imds_support", "v2.0"),
    "ena_support": _each("ena_support", True, False),
    "sriov_support": _each("sriov_support", True, False),
    "ami_block_device_mappings": _each(
        "ami_block_device_mappings",
        [{"device_name": "/dev/sdb", "virtual_name": "ephemeral0"}],
        [{"device_name": "/dev/sdc", "volume_size": 10, "volume_type": "gp3", "delete_on_termination": True}],
    ),
    "launch_block_device_mappings": [
        _device(volume_size=40, volume_type="gp3", iops=3000, throughput=125, delete_on_termination=True)
    ],
    "block_device.volume_size": [_device(volume_size=8)],
    "block_device.volume_type": [_device(volume_size=8, volume_type=kind) for kind in ("gp2", "gp3", "standard")]
    + [_device(volume_size=125, volume_type=kind) for kind in ("st1", "sc1")]
    + [_device(volume_size=8, volume_type=kind, iops=100) for kind in ("io1", "io2")],
    "block_device.encrypted": [_device(volume_size=8, encrypted=value) for value in (True, False)],
    "block_device.kms_key_id": [_device(volume_size=8, encrypted=True, kms_key_id=KEY)],
    "block_device.snapshot_id": [_device(snapshot_id="snap-0a1b2c3d4e5f60718")],
    "block_device.no_device": [_device(no_device=True)],
    "block_device.virtual_name": [_device(virtual_name="ephemeral0")],
    "source_ami_filter": [_source()],
    "source_ami_filter.filters": [_source(), _source(filters={"tag:Name": "base"})],
    "source_ami_filter.owners": [_source(owners=["self"]), _source(owners=["amazon", "123456789012"])],
    "source_ami_filter.include_deprecated": [_source(include_deprecated=True)],
    "vpc_id": _each("vpc_id", "vpc-0a1b2c3d"),
    "vpc_filter": _each("vpc_filter", {"filters": {"tag:Class": "build", "isDefault": "false"}}),
    "subnet_filter.filters": [_subnet()],
    "subnet_filter.most_free": [_subnet(most_free=True), _subnet(most_free=True, random=False)],
    "subnet_filter.random": [_subnet(random=True)],
    "availability_zone": _each("availability_zone", "eu-west-1a", region="eu-west-1"),
    "associate_public_ip_address": _each("associate_public_ip_address", True, False),
    "security_group_id": _each("security_group_id", "sg-0a1b2c3d"),
    "security_group_ids": _each("security_group_ids", ["sg-0a1b2c3d", "sg-0a1b2c3e"]),
    "temporary_security_group_source_public_ip": _each("temporary_security_group_source_public_ip", True),
    "iam_instance_profile": _each("iam_instance_profile", "builder"),
    "temporary_iam_instance_profile_policy_document": _each("temporary_iam_instance_profile_policy_document", POLICY),
    "metadata_options": [_metadata()],
    "metadata_options.http_put_response_hop_limit": [_metadata(http_put_response_hop_limit=limit) for limit in (1, 64)],
    "metadata_options.instance_metadata_tags": [
        _metadata(instance_metadata_tags=value) for value in ("enabled", "disabled")
    ],
    "ebs_optimized": _each("ebs_optimized", True, False),
    "enable_unlimited_credits": _each("enable_unlimited_credits", True, instance_type="t3.micro"),
    "placement": _each("placement", {"tenancy": "default"}),
    "placement.tenancy": _each("placement", {"tenancy": "dedicated"}, {"tenancy": "host"}),
    "placement.host_id": _each("placement", {"host_id": "h-0a1b2c3d", "tenancy": "host"}),
    "placement.host_resource_group_arn": _each(
        "placement", {"host_resource_group_arn": "arn:aws:resource-groups:eu-west-1:123456789012:group/hosts"}
    ),
    "capacity_reservation_preference": _each("capacity_reservation_preference", "open", "none"),
    "license_specifications": _each(
        "license_specifications",
        {"license_configuration_request": {"license_configuration_arn": LICENSE}},
        [{"license_configuration_request": {"license_configuration_arn": LICENSE}}],
        {"license_configuration_arn": LICENSE},
        [LICENSE],
    ),
    "enable_nitro_enclave": _each("enable_nitro_enclave", True, False),
    "spot_price": _each("spot_price", "auto", "0.02", instance_type="t3.micro"),
    "spot_instance_types": _each("spot_instance_types", ["t3.micro", "t3a.micro"], spot_price="auto"),
    "spot_tags": _each("spot_tags", {"team": "web"}, **SPOT),
    "fleet_tags": _each("fleet_tags", {"team": "web"}, **SPOT),
    "ssh_interface": _each("ssh_interface", "public_ip", "private_ip", "public_dns", "private_dns", "ipv6"),
    "communicator": _each("communicator", "ssh", "none"),
    "ssh_username": _each("ssh_username", "ec2-user", "Administrator", "me@corp.example.com"),
    "ssh_port": _each("ssh_port", 22, 2222),
    "ssh_host": _each("ssh_host", "10.0.0.5", "builder.example.com"),
    "ssh_password": _each("ssh_password", "p") + _each("ssh_password", "p", ssh_agent_auth=True),
    "ssh_private_key_file": _each("ssh_private_key_file", "~key")
    + _each("ssh_private_key_file", "~key", ssh_password="p", ssh_agent_auth=True),
    "ssh_certificate_file": _each("ssh_certificate_file", "~key-cert.pub", ssh_private_key_file="~key"),
    "ssh_keypair_name": _each("ssh_keypair_name", "deploy", ssh_private_key_file="~key")
    + _each("ssh_keypair_name", "deploy", ssh_agent_auth=True),
    "temporary_key_pair_name": _each("temporary_key_pair_name", "packer-web"),
    "ssh_bastion_host": [BASTION],
    "ssh_bastion_port": [{**BASTION, "ssh_bastion_port": 2222}],
    "ssh_bastion_username": [{**BASTION, "ssh_bastion_username": "jump"}],
    "ssh_bastion_password": [BASTION, {**BASTION, "ssh_bastion_agent_auth": True}],
    "ssh_bastion_private_key_file": [{**BASTION, "ssh_bastion_private_key_file": "~key"}],
    "ssh_bastion_certificate_file": [
        {**BASTION, "ssh_bastion_private_key_file": "~key", "ssh_bastion_certificate_file": "~key-cert.pub"}
    ],
    "ssh_bastion_agent_auth": [{"ssh_bastion_host": "bastion", "ssh_bastion_agent_auth": True}],
    "ssh_ciphers": _each("ssh_ciphers", ["aes128-gcm@openssh.com", "aes256-ctr"]),
    "ssh_key_exchange_algorithms": _each("ssh_key_exchange_algorithms", ["curve25519-sha256@libssh.org"]),
}
"""By the option's name on the page. "~key" stands for a file."""
