"""`amibake sandbox`: the EC2s on this machine."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from amibake.cli.report import Outcome, Plain, Reporter
from amibake.cli.running import command

if TYPE_CHECKING:
    from amibake.sandbox.living import Living

_ORDER = ("up", "list", "ssh", "console", "prepare", "clean")
_OWN = {
    "up": "Keep one up until Ctrl-C, and print what points other programs at it.",
    "prepare": "Make the base images and download node, so that later all is quick.",
    "clean": "Remove what killed ones have left.",
}
"""What `python -m amibake.sandbox` does as well."""


class Commands(TyperGroup):
    """They, in the order of their use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="rich")


def _own(name: str, help_text: str) -> None:
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}

    @app.command(name, help=help_text, context_settings=settings, add_help_option=False)
    def run(context: typer.Context) -> None:
        from amibake.sandbox.__main__ import main

        raise typer.Exit(main([name, *context.args], program="amibake sandbox"))


for _name, _text in _OWN.items():
    _own(_name, _text)


def _list(report: Reporter) -> Outcome:
    from amibake.errors import SandboxUnavailable
    from amibake.events import Warned
    from amibake.sandbox.living import find_living

    found: list[tuple[Living, list[dict[str, str]]]] = []
    for cloud in find_living():
        try:
            found.append((cloud, [_facts(one) for one in cloud.instances()]))
        except SandboxUnavailable as error:  # one that ends, say, keeps nobody from the others
            report.event(Warned(error.message))
    data = [
        {
            "id": cloud.id,
            "region": cloud.region,
            "endpoint_url": cloud.endpoint_url,
            "node_mirror": cloud.node_mirror,
            "pid": cloud.pid,
            "since": cloud.since,
            "instances": instances,
        }
        for cloud, instances in found
    ]
    lines = [line for cloud, instances in found for line in _told(cloud, instances)]
    return Outcome(
        {"sandboxes": data},
        lines or ["no sandbox is up: amibake sandbox up"],
        brief=[one["id"] for _, instances in found for one in instances],
    )


def _facts(instance: dict[str, Any]) -> dict[str, str]:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
    return {
        "id": instance["InstanceId"],
        "state": instance["State"]["Name"],
        "instance_type": instance["InstanceType"],
        "image": instance["ImageId"],
        "address": instance.get("PublicIpAddress") or instance.get("PrivateIpAddress", ""),
        "name": tags.get("Name", ""),
        "build": tags.get("amibake:build", ""),
    }


def _told(cloud: Living, instances: list[dict[str, str]]) -> Iterator[str]:
    since = datetime.fromtimestamp(cloud.since).astimezone()
    yield f"sandbox {cloud.id} in {cloud.region}, since {since:%H:%M}, process {cloud.pid}: {cloud.endpoint_url}"
    shown = [(one["id"], one["state"], one["instance_type"], one["image"], one["address"]) for one in instances]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row, one in zip(shown, instances, strict=True):
        cells = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield f"  {cells}  {one['name']}".rstrip()
    if not instances:
        yield "  no instances"


app.command("list")(command(_list, [], name="list", help="List those that are up, with their instances."))


def _complete(incomplete: str) -> list[str]:
    from amibake.errors import AmibakeError
    from amibake.sandbox.living import find_living

    try:
        ids = [one["InstanceId"] for cloud in find_living() for one in cloud.instances()]
    except AmibakeError:
        return []
    return [one for one in ids if one.startswith(incomplete)]


Instance = Annotated[str, typer.Argument(help="Its id.", metavar="INSTANCE", autocompletion=_complete)]


def _console(_: Reporter, *, instance: str) -> Outcome:
    from amibake.sandbox.living import of_instance

    cloud, _found = of_instance(instance)
    lines = cloud.console(instance).splitlines()
    return Outcome({"console": lines}, lines, brief=lines)


_INSTANCE = inspect.Parameter("instance", inspect.Parameter.KEYWORD_ONLY, annotation=Instance)
app.command("console")(command(_console, [_INSTANCE], name="console", help="Print what an instance's console shows."))


@app.command("ssh")
def _ssh(
    instance: Instance,
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Run this there, in place of a shell; after --, where it has options.", metavar="COMMAND"),
    ] = None,
    user: Annotated[str, typer.Option("--user", "-l", help="Whose shell.")] = "admin",
) -> None:
    """Get a shell on an instance. It goes by way of the container, and takes no key: so it does for a builder, too."""
    from amibake.cli.problems import failure
    from amibake.errors import InvalidOption
    from amibake.sandbox.commands import interact
    from amibake.sandbox.living import of_instance

    try:
        cloud, found = of_instance(instance)
        if cloud.engine == "none" or found["State"]["Name"] != "running":
            state = "runs nothing" if cloud.engine == "none" else f"is {found['State']['Name']}"
            raise InvalidOption(f"instance: {instance} {state}, so there is no shell on it")
        terminal = sys.stdin.isatty() and sys.stdout.isatty()  # to a pipe go the bytes as they are
        shell = cloud.shell(instance, user, shlex.join(words) if words else None, terminal=terminal)
        status = interact(*shell)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it is told
        told, status = failure(error)
        with Plain() as report:
            report.failed(told)
    raise typer.Exit(status)
