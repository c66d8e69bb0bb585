"""Options of a launch that moto drops: what EC2 refuses of them, and how an instance shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import MetadataOptions

Params = Mapping[str, Any]
TENANCIES = ("default", "dedicated", "host")
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html
METADATA_TAG = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}")
METADATA_CHOICES: Mapping[str, tuple[str, ...]] = {
    "HttpEndpoint": ("enabled", "disabled"),
    "HttpTokens": ("optional", "required"),
    "InstanceMetadataTags": ("enabled", "disabled"),
}
HOP_LIMITS = range(1, 65)
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservationSpecification.html
RESERVATIONS_ONLY = "capacity-reservations-only"
RESERVATION_PREFERENCES = ("open", "none", RESERVATIONS_ONLY)
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreditSpecificationRequest.html
CREDITS = ("standard", "unlimited")
# the request's name, and the instance's
SHOWN = {
    "CapacityReservationSpecification": "capacity_reservation_specification",
    "EnclaveOptions": "enclave_options",
    "HibernationOptions": "hibernation_options",
    "LicenseSpecifications": "licenses",
    "MaintenanceOptions": "maintenance_options",
}


def check_options(params: Params) -> None:
    """Raises EC2ClientError for options that EC2 refuses, whatever the image."""
    _check_metadata(params.get("MetadataOptions", {}), params)
    _check_placement(params.get("Placement", {}))
    _check_credits(params)
    _check_reservation(params.get("CapacityReservationSpecification", {}))
    _check_enclave(params)
    if params.get("NetworkInterfaces") and (params.get("SecurityGroupIds") or params.get("SecurityGroups")):
        message = "Network interfaces and an instance-level security groups may not be specified on the same request"
        raise EC2ClientError("InvalidParameterCombination", message)


def apply_options(instance: Any, params: Params) -> None:
    """Let DescribeInstances and the like show what was asked for."""
    metadata = {"HttpTokens": "required", "HttpPutResponseHopLimit": 2} if instance.image.imds_support else {}
    instance.metadata_options = MetadataOptions(metadata | params.get("MetadataOptions", {}))
    placement = params.get("Placement", {})
    instance.placement.tenancy = placement.get("Tenancy", "default")
    instance.placement.group_name = placement.get("GroupName", "")
    instance.placement.host_id = placement.get("HostId")
    instance.placement.host_resource_group_arn = placement.get("HostResourceGroupArn")
    for name, attribute in SHOWN.items():
        if name in params:
            setattr(instance, attribute, params[name])
    instance.disable_api_termination = bool(params.get("DisableApiTermination"))
    instance.cpu_credits = params.get("CreditSpecification", {}).get("CpuCredits")
    interface: Params = next(iter(params.get("NetworkInterfaces", [])), {})
    instance.ipv6_wanted = interface.get("Ipv6AddressCount") or params.get("Ipv6AddressCount") or 0


def credits_of(instance: Any) -> str | None:
    """As DescribeInstanceCreditSpecifications shows them: of burstable types only."""
    if not _burstable(instance.instance_type):
        return None
    credits_: str = instance.cpu_credits or ("standard" if instance.instance_type.startswith("t2") else "unlimited")
    return credits_


def _burstable(instance_type: str) -> bool:
    return bool(INSTANCE_TYPES.get(instance_type, {}).get("BurstablePerformanceSupported"))


def _check_metadata(options: Params, params: Params) -> None:
    for name, allowed in METADATA_CHOICES.items():
        if name in options and options[name] not in allowed:
            raise _invalid(name, options[name])
    hops = options.get("HttpPutResponseHopLimit", 1)
    if hops not in HOP_LIMITS:
        raise _invalid("HttpPutResponseHopLimit", hops)
    if options.get("InstanceMetadataTags") != "enabled":
        return
    specifications = params.get("TagSpecifications", [])
    keys = [tag["Key"] for each in specifications if each["ResourceType"] == "instance" for tag in each["Tags"]]
    for key in keys:
        if not METADATA_TAG.fullmatch(key) or key in {".", "..", "_index"}:
            message = (
                f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and "
                "must not be a reserved name ('.', '..', '_index')"
            )
            raise EC2ClientError("InvalidParameterValue", message)


def _check_placement(placement: Params) -> None:
    tenancy = placement.get("Tenancy", "default")
    if tenancy not in TENANCIES:
        raise _invalid("Tenancy", tenancy)
    if (placement.get("HostId") or placement.get("HostResourceGroupArn")) and tenancy != "host":
        message = "A host can be specified only together with the tenancy 'host'"
        raise EC2ClientError("InvalidParameterCombination", message)


def _check_credits(params: Params) -> None:
    asked = params.get("CreditSpecification", {}).get("CpuCredits")
    if asked is None:
        return
    if asked not in CREDITS:
        raise _invalid("CpuCredits", asked)
    if not _burstable(params.get("InstanceType", "")):
        message = f"The instance type {params.get('InstanceType')} does not support credit specification."
        raise EC2ClientError("InvalidParameterCombination", message)


def _check_reservation(asked: Params) -> None:
    preference, target = asked.get("CapacityReservationPreference"), asked.get("CapacityReservationTarget", {})
    if preference not in (None, *RESERVATION_PREFERENCES):
        raise _invalid("CapacityReservationPreference", preference)
    if target and preference not in (None, RESERVATIONS_ONLY):
        message = "CapacityReservationPreference and CapacityReservationTarget can't be specified together"
        raise EC2ClientError("InvalidParameterCombination", message)
    if len(target) > 1:
        message = "Specify either a Capacity Reservation or a Capacity Reservation resource group, not both"
        raise EC2ClientError("InvalidParameterCombination", message)


def _check_enclave(params: Params) -> None:
    kind = params.get("InstanceType", "")
    supported = INSTANCE_TYPES.get(kind, {}).get("NitroEnclavesSupport", "supported")
    if params.get("EnclaveOptions", {}).get("Enabled") and supported != "supported":
        raise EC2ClientError("UnsupportedOperation", f"The instance type {kind} does not support enclaves")


def _invalid(name: str, value: Any) -> EC2ClientError:
    parameter = name[0].lower() + name[1:]
    return EC2ClientError("InvalidParameterValue", f"Value ({value}) for parameter {parameter} is invalid.")
