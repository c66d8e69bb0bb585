"""The bakes at whose calls something goes wrong: between them they make every call that a bake can make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import amibake
from amibake.testing import Place

REGIONS = ("us-east-1", "eu-west-1")
STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::releases/*"}
ACCOUNT = "210987654321"


@dataclass(frozen=True)
class Scenario:
    """One kind of bake.

    Attributes:
        name: What it is called.
        options: The builder's, beside those of every bake.
        regions: Where it leaves images.
        replaces: Whether it takes its name from an image that is there.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    regions: tuple[str, ...] = REGIONS[:1]
    replaces: bool = False

    def bake(self, place: Place, **options: Any) -> amibake.Image:
        """Bake it once."""
        builder = amibake.Builder(
            **{
                "ami_name": "shop {{timestamp}}",
                "source_ami": place.source_ami,
                "instance_type": "t3.micro",
                "app": "shop",
                **self.options,
                **options,
            }
        )
        steps = [amibake.Shell(inline=["true"])]
        image = amibake.bake(builder, steps, session=place.session, on_event=lambda _: None)
        assert isinstance(image, amibake.Image)
        return image


PLAIN = Scenario("plain", {"shutdown_behavior": "terminate"})
COPIED = Scenario(
    "copied",
    {
        "ami_regions": REGIONS[1:],
        "ami_users": [ACCOUNT],
        "snapshot_users": [ACCOUNT],
        "deprecate_after": "90d",
        "deregistration_protection": True,
        "imds_support": "v2.0",
    },
    regions=REGIONS,
)
SPOT = Scenario("spot", {"spot_price": "auto"})
PROFILE = Scenario(
    "profile",
    {"temporary_iam_instance_profile_policy_document": {"Version": "2012-10-17", "Statement": [STATEMENT]}},
)
REPLACING = Scenario(
    "replacing", {"ami_name": "shop", "force_deregister": True, "force_delete_snapshot": True}, replaces=True
)
ALL = (PLAIN, COPIED, SPOT, PROFILE, REPLACING)

ALIKE = {
    "AuthorizeSecurityGroupIngress",
    "CreateImage",
    "CreateSecurityGroup",
    "CreateTags",
    "DeleteKeyPair",
    "DeleteSecurityGroup",
    "DeleteTags",
    "DescribeImages",
    "DescribeInstanceTypeOfferings",
    "DescribeInstanceTypes",
    "DescribeInstances",
    "DescribeSecurityGroups",
    "DescribeVolumes",
    "ImportKeyPair",
    "ModifyInstanceAttribute",
    "RunInstances",
    "StopInstances",
    "TerminateInstances",
}
"""What all kinds of bakes do alike; it goes wrong in the plain one."""
IN_SEVERAL_REGIONS = {"CreateTags", "DeleteTags", "DescribeImages"}
"""What of that is asked of several regions where there are some."""


def alike(scenario: Scenario) -> set[str]:
    """What needs not go wrong in this one as well."""
    if scenario is PLAIN:
        return set()
    return ALIKE - IN_SEVERAL_REGIONS if scenario is COPIED else ALIKE
