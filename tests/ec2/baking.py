"""From a stopped builder to a published image, without a bake around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.drafts import Drafts, unless_published
from amibake.ec2.images import DraftTags, create_image, wait_until_available
from amibake.ec2.instance import Machine
from amibake.ec2.lookup import Plan, make_plan
from amibake.ec2.network import Network
from amibake.ec2.publication import copy_images, publish
from amibake.ec2.replacement import delete_old_snapshots, take_names
from amibake.ec2.source import SourceImage
from amibake.image import Image

TAGS = {"Name": "shop 1", "amibake:app": "shop", "amibake:stage": "primal", "amibake:source-ami": "ami-0"}


@dataclass
class Baking:
    """A bake after its builder has stopped."""

    cloud: Cloud
    machine: Machine
    plan: Plan
    tags: DraftTags
    drafts: Drafts

    def draft(self) -> str:
        return create_image(self.cloud, self.drafts, self.machine, self.plan, self.tags)

    def finish(self) -> Image:
        here = self.cloud.region
        images = wait_until_available(self.cloud, {here: self.draft()})
        images |= copy_images(self.cloud, self.drafts, images[here], self.plan, self.tags)
        wanted = {region: images[region] for region in self.plan.regions}
        image = take_names(
            self.cloud, publish(self.cloud, self.drafts, wanted, self.plan.builder), self.plan, self.tags
        )
        if self.plan.builder.force_delete_snapshot:
            delete_old_snapshots(self.cloud, self.plan.taken, image)
        return image


@contextmanager
def baking(cloud: Cloud, machine: Machine, tags: dict[str, str] | None = None, **options: Any) -> Iterator[Baking]:
    """What `flow.bake` does around it."""
    builder = Builder(**{"ami_name": "shop 1", "ami_description": "of the shop", **options})
    source = SourceImage("ami-0", "debian", "1", "", root_device="/dev/xvda")
    with unless_published() as drafts:
        plan = make_plan(cloud, builder, source, Network())
        marks = {**TAGS, **builder.tags, **(tags or {})}
        yield Baking(
            cloud, machine, plan, DraftTags(cloud, marks, {**marks, **builder.snapshot_tags}, plan.home), drafts
        )


def bake(cloud: Cloud, machine: Machine, tags: dict[str, str] | None = None, **options: Any) -> Image:
    """A published image."""
    with baking(cloud, machine, tags, **options) as under_way:
        return under_way.finish()
