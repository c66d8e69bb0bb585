"""Whether calls would be allowed, by EC2's own word: it checks the permissions, and does nothing.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from amibake.ec2.access import group_request, key_request
from amibake.ec2.cloud import Cloud
from amibake.ec2.images import DraftTags
from amibake.ec2.lookup import Plan
from amibake.ec2.request import common_request, instance_request
from amibake.ec2.spot import template_data
from amibake.errors import AmibakeError, NotAuthorized

WOULD_DO = "DryRunOperation"
Verdict = Literal["allowed", "denied", "unknown"]


@dataclass(frozen=True)
class Tried:
    """What EC2 says of one call.

    Attributes:
        call: As a policy names it.
        verdict: "unknown" where EC2 says something else: of a call that is about something which is not there yet, say.
        error: What it said, unless the call is allowed.
    """

    call: str
    verdict: Verdict
    error: AmibakeError | None = None


def try_calls(cloud: Cloud, plan: Plan, public_key: str) -> Iterator[Tried]:
    """Try the calls by which a bake of this plan makes things, with the tags that it would give them; `public_key`
    stands for its key pair's. Those that handle what is made can't be tried before it is there."""
    for call, request in _requests(cloud, plan, public_key).items():
        tried = _try(f"ec2:{call}", request)
        yield tried
        if tried.verdict == "unknown" and tried.error is None:
            return


def _try(call: str, request: Callable[..., object]) -> Tried:
    try:
        request(DryRun=True)
    except NotAuthorized as error:
        return Tried(call, "denied", error)
    except AmibakeError as error:
        return Tried(call, "allowed") if error.code == WOULD_DO else Tried(call, "unknown", error)
    return Tried(call, "unknown")  # this is no EC2: it has done it, so nothing else is tried


def _requests(cloud: Cloud, plan: Plan, public_key: str) -> Mapping[str, Callable[..., object]]:
    """The calls, the harmless ones first."""
    builder, ec2 = plan.builder, cloud.ec2
    found: dict[str, Callable[..., object]] = {}
    if builder.has_temporary_key:
        found["ImportKeyPair"] = partial(ec2.import_key_pair, **key_request(cloud, builder, public_key))
    if builder.has_temporary_group:
        found["CreateSecurityGroup"] = partial(ec2.create_security_group, **group_request(cloud, plan.network))
    found |= _launch(cloud, plan)
    for region in plan.copies:
        found["CopyImage"] = partial(
            cloud.elsewhere(region).ec2.copy_image,
            Name=plan.names[region],
            SourceImageId=plan.source.id,
            SourceRegion=cloud.region,
            TagSpecifications=DraftTags(cloud, {}, {}, home=plan.home).of(kept=True),
        )
    return found


def _launch(cloud: Cloud, plan: Plan) -> Mapping[str, Callable[..., object]]:
    builder, groups = plan.builder, list(plan.network.group_ids)
    common = common_request(builder, plan.source, key_name=builder.ssh_keypair_name, profile=None)
    if builder.is_spot:
        data: Any = template_data(cloud, builder, common, groups)
        make: Any = partial(cloud.ec2.create_launch_template, LaunchTemplateData=data)
        tags = cloud.specification("launch-template")
        return {"CreateLaunchTemplate": partial(make, LaunchTemplateName=cloud.build, TagSpecifications=tags)}
    subnet = next(iter(plan.network.subnet_ids), None)
    request = instance_request(cloud, builder, common, builder.instance_types[0], subnet, groups)
    return {"RunInstances": partial(cloud.ec2.run_instances, **request, MinCount=1, MaxCount=1)}
