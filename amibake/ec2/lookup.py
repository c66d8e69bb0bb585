"""Everything that can be found out before anything is made: the end of a bake with a mistake in its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from amibake.builder import Builder, ImageFilter
from amibake.ec2.access import check_key_name
from amibake.ec2.cloud import Cloud
from amibake.ec2.devices import check_default_encryption, check_devices, check_snapshots
from amibake.ec2.names import find_regions, find_taken, rendered
from amibake.ec2.network import Network, find_network
from amibake.ec2.replacement import check_taken, provisional
from amibake.ec2.source import SourceImage, find_source_image
from amibake.ec2.types import Types, check_architecture, common_architecture, find_types
from amibake.errors import InvalidOption

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What a bake works with.

    Attributes:
        builder: The options, with every template expression filled in.
        source: The image that the builder is launched from.
        network: Where it is launched.
        region: The build region.
        regions: Where the image is to be in the end. It is decided in the first of them, its home, whether all are
            published.
        names: What the image is called at first, {region: name}, the build region included.
        taken: The images that have the name and are to make way, {region: image}.
    """

    builder: Builder
    source: SourceImage
    network: Network
    region: str
    regions: tuple[str, ...]
    names: Mapping[str, str]
    taken: Mapping[str, ImageTypeDef]

    @property
    def home(self) -> str:
        """The first of `regions`."""
        return self.regions[0]

    @property
    def copies(self) -> tuple[str, ...]:
        """The regions that get a copy."""
        return tuple(region for region in self.regions if region != self.region)


def look_up(cloud: Cloud, builder: Builder) -> Plan:
    """Find everything that the options name.

    Raises:
        InvalidOption: with every mistake that could be found.
        SourceImageNotFound: there is no such source image.
    """
    found = _Mistakes()
    builder = found.collect(lambda: _with_home_key(cloud, builder)) or builder
    types = found.collect(lambda: find_types(cloud, builder))
    network = found.collect(lambda: find_network(cloud, builder))
    regions = found.collect(lambda: find_regions(cloud, builder))
    source = found.collect(lambda: _find_source(cloud, builder, types))
    filled = source and found.collect(lambda: rendered(cloud, builder, source))
    if source and types:
        found.collect(lambda: check_architecture(types, source))
    if source:
        found.collect(lambda: check_devices(builder, source))
    if regions:
        found.collect(lambda: check_default_encryption(cloud, builder, regions))
    found.collect(lambda: check_snapshots(cloud, builder))
    found.collect(lambda: check_key_name(cloud, builder))
    plan = None
    if source and filled and network:
        plan = found.collect(lambda: make_plan(cloud, filled, source, network))
    found.raise_them()
    assert plan  # noqa: S101 - without one there was a mistake
    return plan


def make_plan(cloud: Cloud, builder: Builder, source: SourceImage, network: Network) -> Plan:
    """Names that are free, for options without template expressions. Raises InvalidOption when there are none."""
    regions = _regions(builder, cloud.region)
    if not regions:
        raise InvalidOption(
            f"skip_save_build_region: nothing is left, since ami_regions names only {cloud.region}, the build region"
        )
    taken = find_taken(cloud, builder.ami_name, regions)
    check_taken(builder, source, taken)
    unnamed = {*taken, *({cloud.region} - set(regions))}
    names = {
        region: provisional(builder.ami_name, cloud.build) if region in unnamed else builder.ami_name
        for region in (cloud.region, *regions)
    }
    return Plan(builder, source, network, cloud.region, regions, names, taken)


def _with_home_key(cloud: Cloud, builder: Builder) -> Builder:
    """A key for the build region may be given among those for the copies."""
    key = builder.region_kms_key_ids.get(cloud.region)
    if not key or key == builder.kms_key_id:
        return builder
    if builder.kms_key_id is not None:
        raise InvalidOption(f"kms_key_id: {builder.kms_key_id}, but region_kms_key_ids says {key} for {cloud.region}")
    return builder.model_copy(update={"kms_key_id": key})


def _regions(builder: Builder, build_region: str) -> tuple[str, ...]:
    copies = tuple(region for region in dict.fromkeys(builder.ami_regions) if region != build_region)
    return copies if builder.skip_save_build_region else (build_region, *copies)


def _find_source(cloud: Cloud, builder: Builder, types: Types | None) -> SourceImage | None:
    wanted = builder.source_ami
    if isinstance(wanted, ImageFilter) and wanted.follows_architecture:
        if types is None:
            return None
        wanted = wanted.on(common_architecture(types))
    return find_source_image(cloud, wanted)


class _Mistakes:
    """Collects mistakes of options from look-ups that do not depend on each other."""

    def __init__(self) -> None:
        self.errors: list[InvalidOption] = []

    def collect(self, find: Callable[[], T]) -> T | None:
        try:
            return find()
        except InvalidOption as error:
            self.errors.append(error)
            return None

    def raise_them(self) -> None:
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            hints = dict.fromkeys(error.hint for error in self.errors if error.hint)
            raise InvalidOption(*(line for error in self.errors for line in error.mistakes), hint="\n".join(hints))
