"""What every bake has to be allowed."""

from __future__ import annotations

from amibake.image import EXPIRES, ORIGIN, PUBLISHED, STATE
from amibake.permissions.grant import BASE, NAMED, NEW, OURS, TEMPORARY, UNPUBLISHED, Grant, ec2, made_by, only

GRANTS: tuple[Grant, ...] = (
    Grant(
        BASE,
        "Look",
        "Looking up what the options name, waiting, and finding what is ours. These calls know no resources.",
        ec2(
            "DescribeAvailabilityZones",
            "DescribeImages",
            "DescribeInstanceTypeOfferings",
            "DescribeInstanceTypes",
            "DescribeInstances",
            "DescribeKeyPairs",
            "DescribeSecurityGroups",
            "DescribeSnapshots",
            "DescribeSubnets",
            "DescribeVolumes",
            "DescribeVpcs",
            "GetEbsEncryptionByDefault",
        ),
    ),
    Grant(
        BASE,
        "Use",
        "The builder is launched from any image into any subnet, and its group made in any VPC: they are yours or "
        "somebody else's, and carry none of our tags.",
        ec2("CreateSecurityGroup", "RunInstances"),
        ("image", "subnet", "vpc"),
    ),
    Grant(
        BASE,
        "Make",
        "Key pair, security group, builder and draft are made with the tags of a bake, or not at all.",
        ec2("CreateImage", "CreateSecurityGroup", "ImportKeyPair", "RunInstances"),
        ("image", "instance", "key-pair", "network-interface", "security-group", "snapshot", "volume"),
        (NEW,),
    ),
    Grant(
        BASE,
        "TagWhatIsMade",
        "Those tags, in the calls that make things, and in no other: nothing that is there can be made ours.",
        ec2("CreateTags"),
        ("image", "instance", "key-pair", "network-interface", "security-group", "snapshot", "volume"),
        (NEW, made_by("CreateImage", "CreateSecurityGroup", "ImportKeyPair", "RunInstances")),
    ),
    Grant(
        BASE,
        "HandleWhatIsTemporary",
        "The builder is launched with the bake's own key pair and group, stopped, imaged and terminated, and all of it "
        "removed. Published images, and instances that `launch` has started, do not carry the tag that says when a "
        "temporary thing expires.",
        ec2(
            "AuthorizeSecurityGroupIngress",
            "CreateImage",
            "DeleteKeyPair",
            "DeleteSecurityGroup",
            "DeleteVolume",
            "GetConsoleOutput",
            "ModifyInstanceAttribute",
            "RunInstances",
            "StopInstances",
            "TerminateInstances",
        ),
        ("instance", "key-pair", "security-group", "volume"),
        (TEMPORARY,),
    ),
    Grant(
        BASE,
        "SetFree",
        "The stopped builder leaves the bake's group for the default one of its VPC, which is yours: so the group can "
        "go while the image is made. Without this the bake waits until the builder is terminated.",
        ec2("ModifyInstanceAttribute"),
        ("security-group",),
    ),
    Grant(
        BASE,
        "RemoveDrafts",
        "The image of a bake that failed goes, with its snapshots; a published one can't.",
        ec2("DeleteSnapshot", "DeregisterImage"),
        ("image", "snapshot"),
        (UNPUBLISHED,),
    ),
    Grant(
        BASE,
        "Publish",
        "A draft is marked as published; nothing can be marked as a draft again.",
        ec2("CreateTags"),
        ("image", "snapshot"),
        (OURS, only(STATE), {"StringEquals": {f"aws:RequestTag/{STATE}": PUBLISHED}}),
    ),
    Grant(
        BASE,
        "TakeAwayTheMarksOfDrafts",
        "The marks of a draft go from what is published, and the date of expiry from a volume that is to be kept.",
        ec2("DeleteTags"),
        ("image", "snapshot", "volume"),
        (OURS, only(EXPIRES, ORIGIN), NAMED),
    ),
)
