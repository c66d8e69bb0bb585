"""The calls of a bake that change something in the account, in the order of the flow's steps. Between them the bake
looks, and waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amibake.builder import Builder
from amibake.ec2.lookup import Plan

LAUNCH, STOP, IMAGE = "launch the builder", "stop the builder", "make the image"
REMOVE, COPY, PUBLISH = "remove what is temporary", "copy the image", "publish the image"


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        step: The step of the bake in which it is made, by its name in the events.
        call: As a policy names it: "ec2:RunInstances".
        about: What it does.
        region: Where; "" for IAM, which is global.
    """

    step: str
    call: str
    about: str
    region: str


def calls(plan: Plan) -> list[Call]:
    """Those of a bake that goes well."""
    steps = [_launch(plan), _remove(plan)]
    if not plan.builder.skip_create_ami:
        steps = [_launch(plan), _stop(plan), _image(plan), _remove(plan), _copy(plan), _publish(plan)]
    return [call for step in steps for call in step]


def _launch(plan: Plan) -> Iterator[Call]:
    builder, here = plan.builder, plan.region
    if builder.has_temporary_key:
        yield Call(LAUNCH, "ec2:ImportKeyPair", "the temporary key pair, its public half", here)
    if builder.has_temporary_group:
        yield Call(LAUNCH, "ec2:CreateSecurityGroup", "the temporary security group, which admits nobody yet", here)
    if _has_profile(builder):
        yield Call(LAUNCH, "iam:CreateRole", "the temporary instance profile's role", "")
        yield Call(LAUNCH, "iam:PutRolePolicy", "its policy", "")
        yield Call(LAUNCH, "iam:CreateInstanceProfile", "the temporary instance profile", "")
        yield Call(LAUNCH, "iam:AddRoleToInstanceProfile", "the role goes into it", "")
    if builder.is_spot:
        yield Call(LAUNCH, "ec2:CreateLaunchTemplate", "what is to be launched", here)
        yield Call(LAUNCH, "ec2:CreateFleet", f"the builder, spare capacity of {_types(builder)}", here)
    else:
        yield Call(LAUNCH, "ec2:RunInstances", f"the builder, {_types(builder)}", here)
    if _is_admitted(builder):
        yield Call(LAUNCH, "ec2:AuthorizeSecurityGroupIngress", f"SSH, port {builder.ssh_port}, from us alone", here)


def _stop(plan: Plan) -> Iterator[Call]:
    builder, here, modify = plan.builder, plan.region, "ec2:ModifyInstanceAttribute"
    if builder.is_spot:
        return
    if not builder.disable_stop_instance:
        yield Call(STOP, "ec2:StopInstances", "the builder, once it is sealed", here)
    if builder.ends_itself:
        yield Call(STOP, modify, "a shutdown stops instances of the image", here)
    if builder.ena_support is not None:
        yield Call(STOP, modify, "ena_support", here)
    if builder.sriov_support:
        yield Call(STOP, modify, "sriov_support", here)


def _image(plan: Plan) -> Iterator[Call]:
    """While it is made, what nobody needs any more goes already."""
    builder, here = plan.builder, plan.region
    yield Call(IMAGE, "ec2:CreateImage", f"{plan.names[here]!r}, a draft", here)
    if not builder.is_spot:
        if builder.has_temporary_group:
            yield Call(IMAGE, "ec2:ModifyInstanceAttribute", "the stopped builder leaves the temporary group", here)
        yield from _ways_in(plan, IMAGE)


def _remove(plan: Plan) -> Iterator[Call]:
    """By what it costs: the builder first."""
    builder, here = plan.builder, plan.region
    yield Call(REMOVE, "ec2:TerminateInstances", "the builder", here)
    for device in builder.launch_block_device_mappings:
        if device.delete_on_termination is False:
            yield Call(REMOVE, "ec2:DeleteTags", f"the volume on {device.device_name} is kept", here)
    if builder.is_spot:
        yield Call(REMOVE, "ec2:DeleteFleets", "the fleet", here)
        yield Call(REMOVE, "ec2:DeleteLaunchTemplate", "the launch template", here)
    if builder.is_spot or builder.skip_create_ami:
        yield from _ways_in(plan, REMOVE)


def _ways_in(plan: Plan, step: str) -> Iterator[Call]:
    """What was made for the builder goes."""
    builder, here = plan.builder, plan.region
    if _has_profile(builder):
        yield Call(step, "iam:RemoveRoleFromInstanceProfile", "the role goes out of it", "")
        yield Call(step, "iam:DeleteInstanceProfile", "the temporary instance profile", "")
        yield Call(step, "iam:DeleteRolePolicy", "the role's policy", "")
        yield Call(step, "iam:DeleteRole", "the role", "")
    if builder.has_temporary_group:
        yield Call(step, "ec2:DeleteSecurityGroup", "the temporary security group", here)
    if builder.has_temporary_key:
        yield Call(step, "ec2:DeleteKeyPair", "the temporary key pair", here)


def _copy(plan: Plan) -> Iterator[Call]:
    for region in plan.copies:
        yield Call(COPY, "ec2:CopyImage", f"{plan.names[region]!r}, a draft", region)


def _publish(plan: Plan) -> Iterator[Call]:
    for region in plan.regions:
        yield from _attributes(plan.builder, region)
        if not plan.builder.deregistration_protection.with_cooldown:
            yield from _protection(plan.builder, region)
    for region in plan.regions:
        decides = " this is the call that publishes" if region == plan.home else ""
        yield Call(PUBLISH, "ec2:CreateTags", f"image and snapshots are published;{decides}".rstrip(";"), region)
        yield Call(PUBLISH, "ec2:DeleteTags", "the marks of a draft go", region)
        if plan.builder.deregistration_protection.with_cooldown:
            yield from _protection(plan.builder, region)
    if plan.region not in plan.regions:
        yield Call(PUBLISH, "ec2:DeregisterImage", "the draft here, of which there are copies now", plan.region)
        yield Call(PUBLISH, "ec2:DeleteSnapshot", "those of that draft", plan.region)
    for region, old in plan.taken.items():
        yield from _replacement(plan, region, old["ImageId"])


def _attributes(builder: Builder, region: str) -> Iterator[Call]:
    """Who may use the image, and what it demands."""
    modify = "ec2:ModifyImageAttribute"
    if builder.ami_users or builder.ami_groups or builder.ami_org_arns or builder.ami_ou_arns:
        yield Call(PUBLISH, modify, "who may launch it", region)
    if builder.ami_product_codes:
        yield Call(PUBLISH, modify, "its product codes", region)
    if builder.snapshot_users or builder.snapshot_groups:
        yield Call(PUBLISH, "ec2:ModifySnapshotAttribute", "who may use its snapshots, for each of them", region)
    if builder.imds_support is not None:
        yield Call(PUBLISH, modify, "its instances demand IMDSv2", region)
    if builder.deprecate_after is not None or builder.deprecate_at is not None:
        yield Call(PUBLISH, "ec2:EnableImageDeprecation", "from when on it counts as deprecated", region)


def _protection(builder: Builder, region: str) -> Iterator[Call]:
    if builder.deregistration_protection.enabled:
        yield Call(PUBLISH, "ec2:EnableImageDeregistrationProtection", "it can't be deregistered by mistake", region)


def _replacement(plan: Plan, region: str, old: str) -> Iterator[Call]:
    """The name is taken from the image that has it."""
    yield Call(PUBLISH, "ec2:DeregisterImage", f"{old}, which has the name", region)
    yield Call(PUBLISH, "ec2:RegisterImage", f"{plan.builder.ami_name!r}, of the same snapshots", region)
    yield from _attributes(plan.builder, region)
    yield from _protection(plan.builder, region)
    wanted = plan.builder.deregistration_protection
    if wanted.enabled:
        yield Call(PUBLISH, "ec2:DisableImageDeregistrationProtection", "of the one under a provisional name", region)
    yield Call(PUBLISH, "ec2:DeregisterImage", "the one under a provisional name", region)
    if plan.builder.force_delete_snapshot:
        yield Call(PUBLISH, "ec2:DeleteSnapshot", f"those of {old}", region)


def _has_profile(builder: Builder) -> bool:
    return builder.temporary_iam_instance_profile_policy_document is not None


def _is_admitted(builder: Builder) -> bool:
    """Whether the temporary security group gets a rule for SSH."""
    if not builder.has_temporary_group or builder.communicator == "none":
        return False
    named = builder.temporary_security_group_source_cidrs or builder.temporary_security_group_source_public_ip
    return bool(named or not builder.ssh_proxy_command)


def _types(builder: Builder) -> str:
    return " or ".join(builder.instance_types)
