"""`amibake images` and `amibake launch`: what was baked, and an instance of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amibake.cli.report import Outcome, Reporter
from amibake.cli.running import command, parameter

if TYPE_CHECKING:
    from amibake.image import Image

_REGION = parameter("region", str | None, "--region", help="Where [the session's].", metavar="TEXT")
_NAMES = {
    "app": "Of this application only.",
    "stage": 'Of this stage only, "primal" or "carnivore".',
    "node_env": "Of this environment only.",
}
_FILTERS = [parameter(name, str | None, f"--{name.replace('_', '-')}", help=text) for name, text in _NAMES.items()]
_COLUMNS = ("id", "created", "app", "stage", "env", "from", "name")


def _images(_: Reporter, **wanted: Any) -> Outcome:
    from amibake.cli.jsonlines import plain
    from amibake.images import find_images

    found = find_images(**wanted)
    table = _aligned([_COLUMNS, *map(_row, found)])
    return Outcome(
        {"images": plain(found)},
        list(table) if found else ["there is no such image"],
        brief=[image.id for image in found],
    )


def _row(image: Image) -> tuple[str, ...]:
    from amibake.image import APP, NODE_ENV, STAGE

    marks = [image.tags.get(tag, "") for tag in (APP, STAGE, NODE_ENV)]
    return (image.id, image.created[:16].replace("T", " "), *marks, image.source_ami, image.name)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


images = command(
    _images,
    [*_FILTERS, _REGION],
    name="images",
    help="List the images that were baked, the newest first: when, from what, for what.",
    known={*_NAMES, "region"},
)


def _launch(report: Reporter, *, image: str, tags: list[str] | None, **given: Any) -> Outcome:
    import amibake
    from amibake.cli.kinds import mapping
    from amibake.errors import InvalidOption

    options = {name: value for name, value in given.items() if value is not None and value != []}
    try:
        marks = mapping(tags or [])
    except ValueError as error:
        raise InvalidOption(f"tags: {error}") from error
    instance = amibake.launch(image, tags=marks, on_event=report.event, **options)
    address = instance.public_ip or instance.private_ip
    data = {"id": instance.id, "region": instance.region}
    data |= {"public_ip": instance.public_ip, "private_ip": instance.private_ip}
    text = f"{instance.id} runs in {instance.region} at {address}"
    return Outcome({"instance": data}, [text], brief=[instance.id])


_IMAGE = inspect.Parameter(
    "image",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[str, typer.Argument(help="The image's id.", metavar="AMI", show_default=False)],
)
_PUBLIC = "--associate-public-ip-address/--no-associate-public-ip-address"
_LAUNCH = [
    parameter("instance_type", str | None, "--instance-type", help="EC2's name of its size [t1.micro]."),
    parameter("subnet_id", str | None, "--subnet-id", help="Its subnet [EC2's choice in the default VPC]."),
    parameter("security_group_ids", list[str] | None, "--security-group-ids", help="May be repeated."),
    parameter("associate_public_ip_address", bool | None, _PUBLIC, help="[what the subnet says]"),
    parameter("key_name", str | None, "--key-name", help="The key pair that lets people in [none]."),
    parameter("iam_instance_profile", str | None, "--iam-instance-profile", help="Its instance profile's name [none]."),
    parameter("user_data", str | None, "--user-data", help="Its user data, plain text [none]."),
    parameter("tags", list[str] | None, "--tags", help="More tags; may be repeated.", metavar="KEY=VALUE"),
    _REGION,
    parameter("timeout", float | None, "--timeout", help="Seconds until it has to run [600].", metavar="SECONDS"),
]
launch = command(
    _launch,
    [_IMAGE, *_LAUNCH],
    name="launch",
    help="Launch one instance of an image, and wait until it runs and has an address.",
    known={one.name for one in _LAUNCH},
)
