"""What a test makes EC2 refuse or fail: an action, a launch, an image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html; all others are 400
STATUS: Mapping[str, int] = {
    "InsufficientCapacity": 500,
    "InsufficientHostCapacity": 500,
    "InsufficientInstanceCapacity": 500,
    "InsufficientReservedInstanceCapacity": 500,
    "InternalError": 500,
    "InternalFailure": 500,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "UnauthorizedOperation": 403,
    "Unavailable": 503,
}
MESSAGES: Mapping[str, str] = {
    "UnauthorizedOperation": "You are not authorized to perform this operation.",
    "RequestLimitExceeded": "Request limit exceeded.",
    "InternalError": "An internal error has occurred",
    "VcpuLimitExceeded": (
        "You have requested more vCPU capacity than your current vCPU limit of 0 allows for the instance bucket that "
        "the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request "
        "an adjustment to this limit."
    ),
    "InstanceLimitExceeded": "Your quota allows for 0 more running instance(s).",
    "InsufficientFreeAddressesInSubnet": "There are not enough free addresses in the subnet to satisfy the request.",
    "MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
    "SpotMaxPriceTooLow": "Your Spot request price is lower than the minimum required Spot request fulfillment price.",
    "Unsupported": "The requested configuration is currently not supported. Please check the documentation.",
}


@dataclass(kw_only=True)
class Fault:
    """One thing that goes wrong, until it is lifted."""

    times: int | None = None
    """How often it still does; None is always."""
    met: int = 0
    """How often it did."""
    region: str | None = None
    """Where; None is everywhere."""

    def lift(self) -> None:
        """It goes wrong no more."""
        self.times = 0

    def strikes(self, region: str) -> bool:
        """Whether it goes wrong there now; if so it has been met once more."""
        if self.times == 0 or self.region not in (None, region):
            return False
        self.met += 1
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(kw_only=True)
class Refusal(Fault):
    """An error in answer to an action."""

    action: str
    code: str
    message: str | None

    def error(self, usual: str = "") -> EC2ClientError:
        """As EC2 words it."""
        return EC2ClientError(self.code, self.message or MESSAGES.get(self.code) or usual or self.code)


@dataclass(kw_only=True)
class LaunchRefusal(Refusal):
    """An error in answer to launches of these types, in these subnets and zones; None is any."""

    instance_types: Collection[str] | None
    subnet_ids: Collection[str] | None
    availability_zones: Collection[str] | None
    lifecycle: str | None

    def concerns(self, instance_type: str, subnet_id: str | None, zone: str, lifecycle: str) -> bool:
        """Whether a launch is one of those."""
        wanted = (
            (self.instance_types, instance_type),
            (self.subnet_ids, subnet_id),
            (self.availability_zones, zone),
            (self.lifecycle and (self.lifecycle,), lifecycle),
        )
        return all(allowed is None or value in allowed for allowed, value in wanted)


@dataclass(kw_only=True)
class ImageFault(Fault):
    """Images that turn out failed instead of available."""

    reason: str
    leave_snapshots: bool


class Faults:
    """What goes wrong on demand. Each call answers with its fault: `met` is how often it happened, `lift()` ends it."""

    def __init__(self) -> None:
        self._refusals: list[Refusal] = []
        self._image_faults: list[ImageFault] = []

    def refuse(
        self,
        action: str,
        code: str = "UnauthorizedOperation",
        message: str | None = None,
        *,
        times: int | None = None,
        region: str | None = None,
    ) -> Refusal:
        """Answer an action, by its name as in "CreateTags", with an error, before anything is done.

        Args:
            action: EC2's name for the operation.
            code: EC2's; the HTTP status goes with it, so that clients retry what they would retry.
            message: EC2's own words for the usual codes by default.
            times: How many requests are refused, retries counted; None is all.
            region: Only there; None is everywhere.
        """
        refusal = Refusal(action=action, code=code, message=message, times=times, region=region)
        self._refusals.append(refusal)
        return refusal

    def refuse_launches(
        self,
        code: str = "InsufficientInstanceCapacity",
        message: str | None = None,
        *,
        instance_types: Collection[str] | None = None,
        subnet_ids: Collection[str] | None = None,
        availability_zones: Collection[str] | None = None,
        lifecycle: str | None = None,
        times: int | None = None,
        region: str | None = None,
    ) -> LaunchRefusal:
        """Refuse launches by RunInstances, and by the overrides of a CreateFleet, where all that is given applies.

        Insufficient capacity is HTTP 500, as on EC2: clients retry it by themselves.

        Args:
            code: EC2's.
            message: EC2's own words for the usual codes by default.
            instance_types: Only these.
            subnet_ids: Only in these; a launch that names none goes to the default subnet of its zone.
            availability_zones: Only in these.
            lifecycle: Only "spot" or only "on-demand".
            times: How many launches are refused, retries counted; None is all.
            region: Only there; None is everywhere.
        """
        refusal = LaunchRefusal(
            action="RunInstances",
            code=code,
            message=message,
            instance_types=instance_types,
            subnet_ids=subnet_ids,
            availability_zones=availability_zones,
            lifecycle=lifecycle,
            times=times,
            region=region,
        )
        self._refusals.append(refusal)
        return refusal

    def fail_images(
        self,
        reason: str = "Internal error",
        *,
        region: str | None = None,
        times: int | None = None,
        leave_snapshots: bool = False,
    ) -> ImageFault:
        """Let the images that CreateImage and CopyImage begin from now on fail, when they would be available.

        Args:
            reason: The message of their StateReason.
            region: Only there; None is everywhere.
            times: How many images; None is all.
            leave_snapshots: Whether their snapshots stay, in error, until they are deleted.
        """
        fault = ImageFault(reason=reason, leave_snapshots=leave_snapshots, region=region, times=times)
        self._image_faults.append(fault)
        return fault

    def check_action(self, region: str, action: str) -> None:
        """Raises EC2ClientError where a refusal of the action is met."""
        for refusal in self._refusals:
            if not isinstance(refusal, LaunchRefusal) and refusal.action == action and refusal.strikes(region):
                raise refusal.error()

    def check_launch(self, region: str, **launch: Any) -> None:
        """Raises EC2ClientError where a refusal of a launch is met, which is told as to `LaunchRefusal.concerns`."""
        for refusal in self._refusals:
            if isinstance(refusal, LaunchRefusal) and refusal.concerns(**launch) and refusal.strikes(region):
                raise refusal.error(
                    f"We currently do not have sufficient {launch['instance_type']} capacity in the Availability Zone "
                    f"you requested ({launch['zone']}). Our system will be working on provisioning additional capacity."
                )

    def image_fault(self, region: str) -> ImageFault | None:
        """The fault that an image is to have, if any."""
        return next((fault for fault in self._image_faults if fault.strikes(region)), None)
