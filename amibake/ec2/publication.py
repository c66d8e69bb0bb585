"""From the image in the build region to published ones in all regions: copies, sharing, protection, and the one call
that decides.

A bake's images in all regions are drafts of one origin, `amibake:origin` = region/build. They count as published from
the moment at which the image in that region, their home, is marked so: one call, so all of them or none. The marks of
the others follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud, tag_dict, tag_list
from amibake.ec2.drafts import Drafts, describe, snapshot_ids
from amibake.ec2.images import DraftTags, as_image, wait_until_available
from amibake.ec2.resource import eventually
from amibake.errors import AmibakeError
from amibake.image import EXPIRES, ORIGIN, PUBLISHED, STATE, Image
from amibake.interrupts import held

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef

    from amibake.ec2.lookup import Plan

_JUST_MADE = ("InvalidAMIID.NotFound", "InvalidSnapshot.NotFound", "InvalidID")


def copy_images(
    cloud: Cloud, drafts: Drafts, image: ImageTypeDef, plan: Plan, tags: DraftTags
) -> dict[str, ImageTypeDef]:
    """Copy the image to the other regions, side by side, and wait for all; answers with {region: image}.

    Raises:
        ImageFailed, WaitTimeout: as `wait_until_available`.
    """
    ids = {
        region: _copy(cloud.elsewhere(region), drafts, _copy_request(cloud, image, plan, tags, region), image)
        for region in plan.copies
    }
    return wait_until_available(cloud, ids)


def _copy_request(cloud: Cloud, image: ImageTypeDef, plan: Plan, tags: DraftTags, region: str) -> dict[str, Any]:
    builder = plan.builder
    request: dict[str, Any] = {
        "Name": plan.names[region],
        "Description": builder.ami_description,
        "SourceImageId": image["ImageId"],
        "SourceRegion": cloud.region,
        "ClientToken": f"{cloud.build}-{region}",
        "TagSpecifications": tags.of(kept=True),
    }
    if builder.encrypt_boot:
        request["Encrypted"] = True
        if key := builder.region_kms_key_ids.get(region):
            request["KmsKeyId"] = key
    if builder.snapshot_copy_duration_minutes is not None:
        request["SnapshotCopyCompletionDurationMinutes"] = builder.snapshot_copy_duration_minutes
    return request


def _copy(cloud: Cloud, drafts: Drafts, request: dict[str, Any], image: ImageTypeDef) -> str:
    return drafts.make(cloud, lambda: cloud.ec2.copy_image(**request)["ImageId"], snapshots=len(snapshot_ids(image)))


def publish(cloud: Cloud, drafts: Drafts, images: Mapping[str, ImageTypeDef], builder: Builder) -> Image:
    """Share and protect the images, {region: image} with their home first, then mark them as published: from that
    call on nothing of ours removes them again."""
    steps = (_share, _demand, _deprecate, _protect)
    for step in steps:
        for region, image in images.items():
            step(cloud.elsewhere(region), image, builder)
    home = next(iter(images))
    with held():
        _decide(cloud.elsewhere(home), images[home], builder)
        drafts.published.update({image["ImageId"]: snapshot_ids(image) for image in images.values()})
    for region, image in images.items():
        _finish(cloud.elsewhere(region), image, builder, is_home=region == home)
    return as_image({region: _marked(image) for region, image in images.items()}, home)


def _share(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    permissions = _permissions(
        UserId=builder.ami_users,
        Group=builder.ami_groups,
        OrganizationArn=builder.ami_org_arns,
        OrganizationalUnitArn=builder.ami_ou_arns,
    )
    if permissions:
        _modify(cloud, image, LaunchPermission={"Add": permissions})
    if builder.ami_product_codes:
        _modify(cloud, image, ProductCodes=list(builder.ami_product_codes), Attribute="productCodes")
    volumes = _permissions(UserId=builder.snapshot_users, Group=builder.snapshot_groups)
    for snapshot in _own_snapshots(image, builder) if volumes else ():
        call = partial(
            cloud.ec2.modify_snapshot_attribute, SnapshotId=snapshot, CreateVolumePermission={"Add": volumes}
        )
        eventually(cloud, call, *_JUST_MADE)


def _permissions(**wanted: tuple[str, ...]) -> list[Any]:
    return [{kind: value} for kind, values in wanted.items() for value in values]


def _demand(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    if builder.imds_support is not None:
        _modify(cloud, image, ImdsSupport={"Value": builder.imds_support})


def _deprecate(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    if builder.deprecate_at is not None:
        call = partial(cloud.ec2.enable_image_deprecation, ImageId=image["ImageId"], DeprecateAt=builder.deprecate_at)
        eventually(cloud, call, *_JUST_MADE)


def _protect(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    wanted = builder.deregistration_protection
    if wanted.enabled:
        call = partial(
            cloud.ec2.enable_image_deregistration_protection,
            ImageId=image["ImageId"],
            WithCooldown=wanted.with_cooldown,
        )
        eventually(cloud, call, *_JUST_MADE)


def _modify(cloud: Cloud, image: ImageTypeDef, **attribute: Any) -> None:
    eventually(cloud, partial(cloud.ec2.modify_image_attribute, ImageId=image["ImageId"], **attribute), *_JUST_MADE)


def _decide(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    try:
        _tag_as_published(cloud, image, builder)
    except AmibakeError as error:
        # Where the answer was lost the tag may be there: then the images count, and must not be taken away again.
        found = None if error.code else describe(cloud.ec2, image["ImageId"])
        if found is None or tag_dict(found.get("Tags")).get(STATE) != PUBLISHED:
            raise


def _finish(cloud: Cloud, image: ImageTypeDef, builder: Builder, *, is_home: bool) -> None:
    """Turn the tags of a draft into those of a published image."""
    try:
        if not is_home:
            _tag_as_published(cloud, image, builder)
        cloud.ec2.delete_tags(
            Resources=[*_own_snapshots(image, builder), image["ImageId"]], Tags=[{"Key": EXPIRES}, {"Key": ORIGIN}]
        )
    except AmibakeError as error:
        cloud.ledger.warn(f"the tags of a draft stay on {image['ImageId']} in {cloud.region}: {error.message}")


def _tag_as_published(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    resources = [*_own_snapshots(image, builder), image["ImageId"]]
    call = partial(cloud.ec2.create_tags, Resources=resources, Tags=tag_list({STATE: PUBLISHED}))
    eventually(cloud, call, *_JUST_MADE)


def _own_snapshots(image: ImageTypeDef, builder: Builder) -> list[str]:
    """The snapshots that were made for the image; a device that the user gave a snapshot has that one."""
    given = {device.snapshot_id for device in builder.ami_block_device_mappings}
    return [snapshot for snapshot in snapshot_ids(image) if snapshot not in given]


def _marked(image: ImageTypeDef) -> ImageTypeDef:
    tags = {key: value for key, value in tag_dict(image.get("Tags")).items() if key not in (EXPIRES, ORIGIN)}
    return {**image, "Tags": tag_list({**tags, STATE: PUBLISHED})}
