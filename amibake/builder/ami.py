"""What the image is called, what is written on it, and what it demands of instances."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from amibake.builder.base import Group, Tags
from amibake.builder.values import KmsKey, Seconds

MOST_NAME = 128


class Ami(Group):
    """Image: what it is called, what is written on it, what it demands of instances."""

    ami_name: str = Field(min_length=3)
    """The image's name, unique in the account and region, 3 to 128 characters; may hold template expressions such
    as {{timestamp}}."""

    ami_description: str = Field("", max_length=255)
    """The image's description; may hold template expressions [none]."""

    tags: Tags = Field(default_factory=dict)
    """Tags for the image and its snapshots; values may hold template expressions."""

    snapshot_tags: Tags = Field(default_factory=dict)
    """Tags for the snapshots, where they differ from `tags`; values may hold template expressions."""

    variables: dict[str, str | None] = Field(default_factory=dict, repr=False)
    """What {{user `name`}} stands for in template expressions; None for one that has to be given."""

    encrypt_boot: bool | None = None
    """Whether the image's disks are encrypted: the builder's are from the start, so that no unencrypted snapshot ever
    exists. False demands that they are not [what the source image's are]."""

    kms_key_id: KmsKey | None = None
    """The KMS key for that in the build region: a key's id or ARN, or an alias such as "alias/images" [the account's
    default for EBS]."""

    ena_support: bool | None = None
    """Whether the image says that it has the driver of the Elastic Network Adapter [what the source image says]."""

    sriov_support: bool = False
    """Whether the image says that it has the driver of Intel's 82599 VF interface."""

    imds_support: Literal["v2.0"] | None = None
    """"v2.0" lets instances of the image have version 2 of the metadata service only; it can't be undone [no]."""

    skip_create_ami: bool = False
    """Do everything but the image, to try a configuration: `bake` returns None."""

    force_deregister: bool = False
    """Take the name from an image of this account that has it already, in all regions, once the new one is complete."""

    force_delete_snapshot: bool = False
    """And delete the snapshots of that image."""

    build_name: str | None = Field(None, min_length=1, max_length=256)
    """What this bake is called, for `only` and `except_` of provisioners; Packer's `name` of a build [app, stage and
    node_env, as far as they are given, with "-" between]."""

    app: str | None = Field(None, min_length=1, max_length=256)
    """The application: the value of the tag `amibake:app`. The recipes set it."""

    stage: str | None = Field(None, min_length=1, max_length=256)
    """The stage, "primal" or "carnivore": the value of the tag `amibake:stage`. The recipes set it."""

    node_env: str | None = Field(None, min_length=1, max_length=256)
    """The environment: the value of the tag `amibake:node-env`. The recipes set it."""

    max_build_time: Seconds = Field(4 * 3600, gt=0, le=30 * 86400)
    """Seconds, or text such as "90m" or "4h", that the whole bake may take; half an hour later all its temporary things
    count as dead. It is the limit of every wait of the bake."""


def ami_mistakes(options: Ami) -> Iterator[str]:
    """What contradicts itself, and what template expressions can't make right any more."""
    name, description = (re.sub(r"{{.*?}}", "", text) for text in (options.ami_name, options.ami_description))
    if wrong := sorted(set(re.findall(r"[^A-Za-z0-9()\[\] ./'@_-]", name))):
        allowed = "letters, digits, spaces and ( ) [ ] . / - ' @ _"
        yield f"ami_name: {', '.join(map(repr, wrong))} can't be in it, only {allowed}"
    if len(name) > MOST_NAME:
        yield f"ami_name: has to have at most {MOST_NAME} characters"
    if not description.isascii():
        yield "ami_description: EC2 takes up to 255 ASCII characters"
    for name, value in options.variables.items():
        if value is None:
            yield f"variables: {name} is required: give it a value"
    if options.kms_key_id is not None and not options.encrypt_boot:
        yield "kms_key_id: there is nothing to encrypt without encrypt_boot=True"
    if options.force_delete_snapshot and not options.force_deregister:
        yield "force_delete_snapshot: needs force_deregister=True"
