"""The options of a bake, by Packer's names, in one frozen model."""

from __future__ import annotations

from typing import Any, Self, Unpack

from pydantic import field_validator, model_validator

from amibake import template
from amibake.builder.access import Access
from amibake.builder.ami import Ami
from amibake.builder.instance import Instance
from amibake.builder.keywords import BuilderOptions, CarnivoreOptions, PrimalOptions
from amibake.builder.network import Network
from amibake.builder.source import DEBIAN_12, WHEEZY, ImageFilter, Source
from amibake.builder.ssh import SSH
from amibake.errors import InvalidOption

__all__ = ["DEBIAN_12", "WHEEZY", "Builder", "BuilderOptions", "CarnivoreOptions", "ImageFilter", "PrimalOptions"]


class Builder(Access, Source, Network, Instance, SSH, Ami):
    """Everything that a bake needs to know besides its provisioners.

    Raises:
        InvalidOption: with every mistake, one line each: the option's name, what is wrong, what is allowed.
    """

    def __init__(self, **options: Unpack[BuilderOptions]) -> None:
        given: dict[str, Any] = dict(options)
        mistakes: list[str] = []
        if "source_ami_filter" in given:
            if "source_ami" in given:
                mistakes.append("source_ami: give either this or source_ami_filter, which is the same option")
            given["source_ami"] = given.pop("source_ami_filter")
        try:
            super().__init__(**given)
        except InvalidOption as error:
            mistakes.extend(error.mistakes)
        if mistakes:
            raise InvalidOption(*mistakes) from None

    @model_validator(mode="after")
    def _public_address_is_possible(self) -> Self:
        if self.ssh_interface == "public_ip" and self.associate_public_ip_address is False:
            raise ValueError('ssh_interface: "public_ip", but associate_public_ip_address is False')
        return self

    @field_validator("ami_name", "ami_description")
    @classmethod
    def _template(cls, value: str) -> str:
        template.check(value)
        return value

    @field_validator("tags")
    @classmethod
    def _templates(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            template.check(text)
        return value
