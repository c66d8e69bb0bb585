"""From the image in the build region to published ones in all regions: copies, sharing, protection, and the one call
that decides.

A bake's images in all regions are drafts of one origin, `amibake:origin` = region/build. They count as published from
the moment at which the image in that region, their home, is marked so: one call, so all of them or none. The marks of
the others follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from amibake import waiting
from amibake.builder import Builder
from amibake.ec2.cloud import CONSISTENCY, Cloud, tag_dict, tag_list
from amibake.ec2.drafts import UNKNOWN, Drafts, describe, snapshot_ids
from amibake.ec2.images import DraftTags, as_image, wait_until_available
from amibake.ec2.refusals import of_an_option
from amibake.ec2.resource import eventually, patiently
from amibake.errors import AmibakeError
from amibake.image import EXPIRES, ORIGIN, PUBLISHED, STATE, Image
from amibake.interrupts import held
from amibake.waiting import Deadline

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef

    from amibake.ec2.lookup import Plan

TOO_LATE = 600.0
"""Seconds before the things of a bake count as dead from which on it publishes nothing: it has to be over by then, by
anybody's clock."""

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
    def create() -> str:
        try:
            return eventually(cloud, partial(cloud.ec2.copy_image, **request), UNKNOWN)["ImageId"]
        except AmibakeError as error:
            raise of_an_option(error, {"InvalidAMIName.Duplicate": "ami_name"}) from error

    return drafts.make(cloud, create, snapshots=len(snapshot_ids(image)))


def publish(cloud: Cloud, drafts: Drafts, images: Mapping[str, ImageTypeDef], builder: Builder) -> Image:
    """Share and protect the images, {region: image} with their home first, then mark them as published: from that
    call on nothing of ours removes them again."""
    moment = deprecation(builder)
    for step in (share, demand, partial(deprecate, moment=moment), _protect_drafts):
        for region, image in images.items():
            step(cloud.elsewhere(region), image, builder)
    home = next(iter(images))
    published = {image["ImageId"]: snapshot_ids(image) for image in images.values()}
    with held():
        _check_not_dead(cloud)
        try:
            _decide(cloud.elsewhere(home), images[home], builder)
        except BaseException as error:
            if isinstance(error, AmibakeError) and not error.lost and error.code:
                raise  # EC2 has said no
            if _may_be_decided(cloud.elsewhere(home), images[home]):
                _keep(cloud, drafts, published)
            raise
        _keep(cloud, drafts, published)
        for region, image in images.items():
            _finish(cloud.elsewhere(region), image, builder, is_home=region == home)
            if builder.deregistration_protection.with_cooldown:
                _protect_published(cloud.elsewhere(region), image, builder)
    return as_image({region: _marked(image) for region, image in images.items()}, home)


def _keep(cloud: Cloud, drafts: Drafts, published: Mapping[str, tuple[str, ...]]) -> None:
    drafts.published.update(published)
    for image_id in published:
        cloud.ledger.keeps("image", image_id)


def deprecation(builder: Builder) -> datetime | None:
    """When images count as deprecated that are published now."""
    if builder.deprecate_after is None:
        return builder.deprecate_at
    return datetime.fromtimestamp(waiting.clock.epoch(), UTC) + builder.deprecate_after


def share(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    """Say who may launch the image, and who may make volumes of its snapshots."""
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


def demand(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    """Say what the image demands of its instances."""
    if builder.imds_support is not None:
        _modify(cloud, image, ImdsSupport={"Value": builder.imds_support})


def deprecate(cloud: Cloud, image: ImageTypeDef, _builder: Builder, *, moment: datetime | None) -> None:
    """Say from when on the image counts as deprecated."""
    if moment is not None:
        call = partial(cloud.ec2.enable_image_deprecation, ImageId=image["ImageId"], DeprecateAt=moment)
        eventually(cloud, call, *_JUST_MADE)


def _protect_drafts(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    """Not with a cooldown: a draft that has that could not be removed for a day."""
    if not builder.deregistration_protection.with_cooldown:
        protect(cloud, image, builder)


def _protect_published(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    try:
        protect(cloud, image, builder)
    except AmibakeError as error:
        cloud.ledger.warn(f"{image['ImageId']} in {cloud.region} is not protected: {error.message}")


def protect(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    """Protect the image against being deregistered, where that is wanted."""
    wanted = builder.deregistration_protection
    if wanted.enabled:
        cloud.protected.add(image["ImageId"])
        call = partial(
            cloud.ec2.enable_image_deregistration_protection,
            ImageId=image["ImageId"],
            WithCooldown=wanted.with_cooldown,
        )
        eventually(cloud, call, *_JUST_MADE)


def _modify(cloud: Cloud, image: ImageTypeDef, **attribute: Any) -> None:
    call = partial(cloud.ec2.modify_image_attribute, ImageId=image["ImageId"], **attribute)
    try:
        eventually(cloud, call, *_JUST_MADE)
    except AmibakeError as error:
        raise of_an_option(error, {"InvalidAMIAttributeItemValue": "ami_users"}) from error


def _check_not_dead(cloud: Cloud) -> None:
    """Raises AmibakeError once a sweep may take the bake for dead. Its deadline does not see to that: the clock of a
    machine that is asleep stands still."""
    expires = int(cloud.marks[EXPIRES])
    if waiting.clock.epoch() >= expires - TOO_LATE:
        raise AmibakeError(
            f"nothing is published, since a sweep may remove what this bake has made: that counts as dead from "
            f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC on",
            hint="This machine was asleep meanwhile, or its clock was set. Bake again.",
        )


def _decide(cloud: Cloud, image: ImageTypeDef, builder: Builder) -> None:
    """The call that publishes; repeated while nobody says what became of it, which does no harm. The error counts as
    lost when any of the tries may have been done."""
    what, deadline = f"image {image['ImageId']} to be published", Deadline(CONSISTENCY, within=cloud.deadline)
    tag, lost = partial(_tag_as_published, cloud, image, builder), list[AmibakeError]()

    def is_lost(error: AmibakeError) -> bool:
        lost.extend([error] * error.lost)
        return error.lost

    try:
        patiently(cloud, what, tag, again=is_lost, deadline=deadline)
    except AmibakeError as error:
        error.lost = bool(lost)
        with suppress(AmibakeError):  # who publishes asks again
            if lost and _is_decided(cloud, image):
                return
        raise


def _is_decided(cloud: Cloud, image: ImageTypeDef) -> bool:
    found = describe(cloud.ec2, image["ImageId"])
    return found is not None and tag_dict(found.get("Tags")).get(STATE) == PUBLISHED


def _may_be_decided(cloud: Cloud, image: ImageTypeDef) -> bool:
    """What is published is never removed, so what perhaps is stays, and somebody has to look."""
    try:
        return _is_decided(cloud, image)
    except AmibakeError as error:
        command = cloud.command("describe-images", "--image-ids", image["ImageId"])
        cloud.ledger.left(f"perhaps image {image['ImageId']}, published or not ({error.message})", command)
        return True


def _finish(cloud: Cloud, image: ImageTypeDef, builder: Builder, *, is_home: bool) -> None:
    """Turn the tags of a draft into those of a published image."""
    resources = [*_own_snapshots(image, builder), image["ImageId"]]
    tags = ("--tags", f"Key={EXPIRES}", f"Key={ORIGIN}")
    untag_by_hand = cloud.command("delete-tags", "--resources", *resources, *tags)
    try:
        if not is_home:
            _tag_as_published(cloud, image, builder)
    except AmibakeError as error:
        tag = cloud.command("create-tags", "--resources", *resources, "--tags", f"Key={STATE},Value={PUBLISHED}")
        cloud.ledger.warn(
            f"{image['ImageId']} in {cloud.region} is published, as its origin says, but could not be marked so "
            f"({error.message}); mark it with: {tag} && {untag_by_hand}"
        )
        return
    try:
        untag = partial(cloud.ec2.delete_tags, Resources=resources, Tags=[{"Key": EXPIRES}, {"Key": ORIGIN}])
        eventually(cloud, untag, *_JUST_MADE, releasing=True)
    except AmibakeError as error:
        cloud.ledger.warn(
            f"the tags of a draft stay on {image['ImageId']} in {cloud.region} ({error.message}); remove them with: "
            f"{untag_by_hand}"
        )


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
