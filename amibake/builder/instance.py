"""What kind of machine the builder is."""

from __future__ import annotations

from pydantic import Field

from amibake.builder.base import Options, Tags


class Instance(Options):
    """The builder instance."""

    instance_type: str = Field("t1.micro", pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")
    """EC2's name of the builder's size, such as "t3.micro" [the article's "t1.micro", which few regions offer]."""

    iam_instance_profile: str | None = Field(None, min_length=1)
    """The name of an IAM instance profile for the builder [none]."""

    user_data: str | None = Field(None, repr=False)
    """User data for the builder, plain text; it is encoded for EC2 [none]."""

    run_tags: Tags = Field(default_factory=dict)
    """Tags for what is temporary: builder, volumes, network interface, key pair, security group. Not for the AMI."""
