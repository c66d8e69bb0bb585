"""The page of all commands, from what `--help` is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from amibake.builder import GROUPS, Builder
from amibake.cli.app import app


def commands() -> str:
    """Every command, in Markdown."""
    return "\n".join(_command(typer.main.get_command(app), ["amibake"]))


def _command(command: Any, words: list[str]) -> Iterator[str]:
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from _command(command.get_command(None, name), [*words, name])
        return
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([*words, "[OPTIONS]", *(_metavar(one) for one in arguments)])
    yield f"## `{' '.join(words)}`\n\n```text\n{usage}\n```\n\n{command.help or ''}\n"
    elsewhere = set()
    for one in command.params:
        if one.name in Builder.model_fields and words[1] in ("build", "doctor"):
            elsewhere.add(one.name)
        elif one.name != "help":
            yield from _parameter(one)
    if elsewhere:
        yield "And the options of the builder and the image:\n"
    for group in GROUPS:
        title = (group.__doc__ or "").partition(":")[0]
        names = [name for name in Builder.model_fields if name in group.__annotations__]
        links = (f"[`{_flag(name)}`](../reference.md#{name})" for name in names if name in elsewhere)
        if listed := ", ".join(links):
            yield f"* {title}: {listed}"
    yield ""


def _parameter(one: Any) -> Iterator[str]:
    names = [*one.opts, *one.secondary_opts] if one.param_type_name == "option" else [_metavar(one)]
    value = "" if one.param_type_name == "argument" or getattr(one, "is_flag", False) else f" {_metavar(one)}"
    yield f"{', '.join(f'`{name}{value}`' for name in names)}\n: {_text(one.help or '')}\n"


def _text(text: str) -> str:
    """What stands in a help, in Markdown."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    plain = (part if part[:1] == "`" else re.sub(r"([<*_\[])", r"\\\1", part) for part in parts)
    return re.sub(r"(?<![`\w-])--[a-z-]+", r"`\g<0>`", "".join(plain))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _metavar(one: Any) -> str:
    return str(one.metavar or one.name.upper())
