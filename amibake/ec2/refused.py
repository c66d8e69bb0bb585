"""What EC2 says when it launches nothing: which option is wrong, or that there is no room."""

from __future__ import annotations

import re
from collections.abc import Sequence

from amibake.ec2.refusals import of_an_option
from amibake.ec2.transient import NO_CAPACITY
from amibake.errors import AmibakeError, NoCapacity

NO_SPOT_CAPACITY = {"MaxFleetCountExceeded", "SpotMaxPriceTooLow", "UnfulfillableCapacity"}
"""More of EC2's words, for spot."""

_NOT_IN_THIS_ZONE = r"not supported in your requested Availability Zone"

_EVERYWHERE = 'A size that every region offers: instance_type="t3.micro".'
# What EC2 says of a launch, and which option it is about.
_OPTIONS = {
    "InvalidBlockDeviceMapping": "launch_block_device_mappings",
    "InvalidCapacityReservationId.NotFound": "capacity_reservation_id",
    "InvalidGroup.NotFound": "security_group_ids",
    "InvalidHostID.NotFound": "placement",
    "InvalidKeyPair.NotFound": "key_name",
    "InvalidPlacementGroup.Unknown": "placement",
    "InvalidSecurityGroupID.NotFound": "security_group_ids",
    "InvalidSnapshot.NotFound": "launch_block_device_mappings",
    "InvalidSubnetID.NotFound": "subnet_id",
    "MissingInput": "subnet_id",
    "NoSuchEntity": "iam_instance_profile",
    "Unsupported": "instance_type",
    "VPCIdNotSpecified": "subnet_id",
}


def is_for_want_of_room(code: str, message: str) -> bool:
    """Whether another type, another subnet or another time may help. That a type is not to be had in an availability
    zone counts, too, under whatever code."""
    known = code in NO_CAPACITY or code in NO_SPOT_CAPACITY
    return known or bool(re.search(_NOT_IN_THIS_ZONE, message, re.IGNORECASE))


def no_capacity(tries: Sequence[tuple[str, str, str]]) -> NoCapacity:
    """The error of a builder for which there is no room: every try as (type and place, EC2's code, its reason), one a
    line."""
    lines = [f"  {what}: {code}: {reason}" for what, code, reason in tries]
    hint = "Try more instance types or subnets, which are tried in turn, or another time."
    if any(code == "SpotMaxPriceTooLow" for _, code, _ in tries):
        hint = 'Try a higher spot_price, or "auto" for the price on demand at most.'
    error = NoCapacity("\n".join(["EC2 has no room for the builder:", *lines]), hint=hint)
    error.code = tries[-1][1]
    return error


def refusal(error: AmibakeError, *, key_option: str = "key_name") -> AmibakeError:
    """What EC2 refuses of a launch, as the mistake of the option that it is about, where that can be told."""
    if error.code == "InvalidParameterValue":
        if re.search("iam ?instance ?profile", error.message, re.IGNORECASE):
            return of_an_option(error, {error.code: "iam_instance_profile"})
        if re.search("architecture", error.message):
            return of_an_option(error, {error.code: "instance_type"}, "The type has to suit the image's architecture.")
        if re.search("instance ?type", error.message, re.IGNORECASE):
            return of_an_option(error, {error.code: "instance_type"}, _EVERYWHERE)
    options = {**_OPTIONS, "InvalidKeyPair.NotFound": key_option}
    return of_an_option(error, options, _EVERYWHERE if error.code == "Unsupported" else "")
