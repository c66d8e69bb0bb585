"""Writes docs/iam-policy.md from the table of what bakes have to be allowed.

python -m tools.policy
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import amibake
from amibake.permissions import FEATURES, GRANTS, LIMIT, SHARING, size, split
from amibake.permissions.grant import BASE

PAGE = Path(__file__).parent.parent / "docs" / "iam-policy.md"
WIDTH = 100
"""Characters of a list that may stand in one line."""
ROLE = "arn:aws:iam::*:role/YOUR-ROLE"


class Feature(NamedTuple):
    """What is said of a feature: when it is needed, the options that mean that, and what else there is to know."""

    lead: str
    options: tuple[str, ...] = ()
    more: str = ""


TEXTS: Mapping[str, Feature] = {
    "copies": Feature("The image is copied to other regions.", ("ami_regions",)),
    "sharing": Feature(
        "The image has attributes: it is shared, or demands things of its instances.",
        SHARING,
        "It may make images of bakes public, which IAM can't forbid by itself: see EC2's *block public access for "
        "AMIs* and *for snapshots*.",
    ),
    "deprecation": Feature("The image gets a date of deprecation.", ("deprecate_after", "deprecate_at")),
    "protection": Feature("The image is protected.", ("deregistration_protection",)),
    "force_deregister": Feature("The image takes its name from an older one.", ("force_deregister",)),
    "force_delete_snapshot": Feature("And the older one's snapshots go.", ("force_delete_snapshot",)),
    "encryption": Feature(
        "Anything is encrypted, the source image included, with a KMS key of yours.",
        ("encrypt_boot", "kms_key_id", "region_kms_key_ids"),
        "EC2 asks for this, not amibake. It is not needed for the key that AWS manages for EBS (`aws/ebs`). The key's "
        "own policy has to admit the account, too. `kms_keys=[…]` names the keys.",
    ),
    "snapshots": Feature("A block device is made of a snapshot.", more="The field `snapshot_id` of a `BlockDevice`."),
    "spot": Feature(
        "The builder is a spot instance.",
        ("spot_price",),
        "An account that has never used spot instances or fleets needs their two service-linked roles, which an "
        "administrator makes once: `aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`, and the "
        "same for `ec2fleet.amazonaws.com`.",
    ),
    "instance_profile": Feature("The builder has an instance profile of yours.", ("iam_instance_profile",)),
    "temporary_profile": Feature(
        "The builder gets an instance profile for a while.",
        ("temporary_iam_instance_profile_policy_document",),
        "Beware: who may make a role with a policy of their choice, and pass it on, can do whatever the account "
        "allows. Give this only to those who are administrators anyway; `iam_instance_profile` asks for far less.",
    ),
    "own_key": Feature("The builder is launched with a key pair of yours.", ("ssh_keypair_name",)),
    "own_groups": Feature(
        "The builder is in security groups of yours.", ("security_group_ids", "security_group_filter")
    ),
    "placement": Feature("The builder is placed: the group of a `Placement`.", ("placement",)),
    "capacity_reservation": Feature(
        "The builder uses reserved capacity.", ("capacity_reservation_id", "capacity_reservation_group_arn")
    ),
    "licenses": Feature("The builder is licensed.", ("license_specifications",)),
    "resume": Feature("A failed bake is gone on with: `bake(…, resume=…)`."),
    "decode": Feature(
        "A refusal of EC2's is to be understood.",
        more="Without it everything works; the error then shows EC2's message as it is, encoded.",
    ),
    "launch": Feature(
        'For `amibake.launch`, which is no bake; `policy("launch", bake=False)` is for those who only launch.',
        more="With `iam_instance_profile=` it needs `instance_profile` too.",
    ),
    "sweep": Feature(
        'For `amibake.sweep`, which is no bake; `policy("sweep", bake=False)` is for those who only sweep.'
    ),
}

HEAD = """# The IAM policy of a bake

<!-- Written by tools/policy.py from amibake/permissions; a test keeps the two equal. -->

What the credentials of a bake have to be allowed, and no more. Bakes tag everything in the call that makes it, and the
policy goes by those tags: what carries them can be stopped and removed, and nothing else can; nothing that is there
already can be given them. `amibake.policy` answers with it as a dict:

```python
import json
import amibake

print(json.dumps(amibake.policy()))  # a plain bake
print(json.dumps(amibake.policy("copies", "sharing")))  # with what else is needed, of the features below
print(json.dumps(amibake.policy(builder=builder)))  # what these options need
print(json.dumps(amibake.policy("sweep", bake=False)))  # no bakes at all
```

`account_id="123456789012"` limits it to one account; `partition="aws-cn"` and the like are for other partitions.

## Attach it

```sh
aws iam create-policy --policy-name amibake --policy-document file://policy.json
aws iam attach-role-policy --role-name ci --policy-arn arn:aws:iam::123456789012:policy/amibake
```

A managed policy has at most {limit:,} characters, white space not counted. A plain bake's has {base:,}; with all
features it is {all:,}, which is {parts} policies: `amibake.permissions.split(policy)`. A role may have ten. (The inline
policies of a user may have 2,048 together: too few.)

With `assume_role=` it is the role that needs this policy, and whoever assumes it `sts:AssumeRole`.

## A plain bake

An image of one's own, in one region, with the temporary key pair and security group, on demand. This includes the
clean-up of a bake that fails.

"""
END = """
## What is not allowed

On purpose, so that lost credentials do less harm:

* To terminate, stop or change an instance that is not a builder; also one that `launch` has started, but for the
  feature `launch`.
* To deregister a published image or to delete its snapshots, but for `force_deregister` and `force_delete_snapshot`;
  then also only what a bake has made.
* To put a bake's tags on anything that is there, to take them away from it, or to turn a published image into a draft.
* To make anything without the tags that say whose it is and when it expires, so that `sweep` finds it.
* To use a key pair or a security group other than the bake's, to pass a role to an instance, or to share an image:
  each is a feature.
* To make service-linked roles, users or access keys, to start or reboot instances, to create key pairs at EC2.

## What it can't do

* **AWS itself has not been asked.** The tests hold the policy against an evaluator of IAM's rules, with every call of
  bakes of all kinds and the [Service Authorization
  Reference](https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html) of October 2026:
  what a call asks for, on which resources, with which conditions. Each of these calls is allowed; the same on what is
  not a bake's, or without its tags, is refused; and no action, type of resource or condition of a statement is
  superfluous. If AWS refuses something all the same, the error names the permission that was missing.
* **Where the reference leaves it open**, the policy errs on the side of a bake that works:
  * It takes the tags in a launch template for tags of the launch, as other widely used policies for fleets do.
  * It admits the tags of a fleet's instances both as part of CreateFleet and as part of RunInstances, and the image,
    the subnet and the volumes in CreateFleet without a condition. Each launch is asked about again, as RunInstances.
  * It expects AddRoleToInstanceProfile to pass the role to EC2.
* **Some calls can't be scoped**: those that only look know no resources. Any image may be launched from, also a private
  one of the account; any subnet and VPC may be used. Add conditions to the statement `Use` where that is too much:
  `ec2:Owner` and tags for images, tags for subnets. CopyImage is not asked about its source.
* **Whom a group lets in** IAM does not see: amibake admits one address, but the credentials could admit all to a group
  that is a bake's.
* **Bakes are not kept from one another**: all that the policy tells apart is what is theirs and what is not. Accounts
  are the boundary that AWS offers.
* **Roles and instance profiles go by their names**, `amibake_` and the bake's id; do not call others so.
* **What is gone already** has no tags. If somebody has removed it by hand, EC2 may say that it is not allowed instead
  of that it is not there, and the bake lists it as a leftover.
* **Regions** are not limited. A boundary or a service control policy with `aws:RequestedRegion` does that.
* **What your own commands do** is up to you: `ssm:StartSession` or `ec2-instance-connect:OpenTunnel` for an
  `ssh_proxy_command`, for instance.
"""


def page() -> str:
    """The page."""
    everything = amibake.policy(*FEATURES, roles=[ROLE])
    text = HEAD.format(
        limit=LIMIT, base=size(amibake.policy()), all=size(everything), parts=_number(len(split(everything)))
    )
    text += _json(amibake.policy()) + _reasons(BASE) + "\n## Features\n"
    by_sid = {one["Sid"]: one for one in everything["Statement"]}
    for feature in FEATURES:
        statements = [by_sid[grant.sid] for grant in GRANTS if grant.feature == feature]
        text += f"\n### `{feature}`\n\n{_lead(TEXTS[feature])}\n\n{_json(statements)}{_reasons(feature)}"
    return text + END


def _number(number: int) -> str:
    return {1: "one", 2: "two", 3: "three"}[number]


def _lead(feature: Feature) -> str:
    options = ", ".join(f"`{name}`" for name in feature.options)
    return "\n\n".join(filter(None, [feature.lead, options and f"Options: {options}.", feature.more]))


def _json(value: Any) -> str:
    text = re.sub(r"\[\s+([^][{}]+?)\s+\]", _in_one_line, json.dumps(value, indent=2))
    return f"```json\n{text}\n```\n"


def _in_one_line(found: re.Match[str]) -> str:
    """A list of texts, where it is short."""
    line = "[" + re.sub(r"\s+", " ", found[1]) + "]"
    return line if len(line) < WIDTH else found[0]


def _reasons(feature: str) -> str:
    return "\n" + "".join(f"* `{grant.sid}`: {grant.why}\n" for grant in GRANTS if grant.feature == feature)


def contents() -> Iterable[tuple[Path, str]]:
    """Every file that this writes, with what is to be in it."""
    yield PAGE, page()


if __name__ == "__main__":
    for path, text in contents():
        path.write_text(text)
