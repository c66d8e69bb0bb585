"""Options in the words of the command line: `encrypt_boot=True` is --encrypt-boot there."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

_WRITTEN = re.compile(r"`?\b([a-z]+(?:_[a-z0-9]+)+)(?:=(True|False|\"[^\"]*\"))?`?")


def _known_image(match: re.Match[str]) -> str:
    return f'="{match[1].lower()}-{match[2]}"'


_OF_PYTHON: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"=amibake\.([A-Z]+)_(\d+)\b": _known_image,
    r"=\[…\]": " …",
    r" Not together with `session=`\.": "",
    r"pass session=": "give --profile",
    r"bake\(…, resume='(\w+)'\)": r"--resume \1",
    r"the commands in the error's leftovers": "the commands below",
    r" `source_ami_filter` is another name for it\.": "",
    r" `security_group_id` is another name for it": "",
}
"""What is said to those who call it from Python, and what is said here."""
_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def flag(name: str) -> str:
    """What the option is called on the command line."""
    return "--" + name.replace("_", "-")


def mistake(line: str, known: Collection[str]) -> str:
    """A mistake as `InvalidOption` says it, in the words of the command line."""
    name, colon, rest = line.partition(":")
    if not colon or not re.fullmatch(r"\w+", name):
        return in_flags(line, known)
    return (flag(name) if name in known else name) + colon + in_flags(rest, known)


def in_flags(text: str, known: Collection[str]) -> str:
    """A text with what it says of options put as on the command line."""

    def written(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in known:
            return match[0]
        if value == "False":
            return f"--no-{flag(name)[2:]}"
        return flag(name) if value in (None, "True") else f"{flag(name)} {value[1:-1]}"

    for python, here in _OF_PYTHON.items():
        text = re.sub(python, here, text)
    return _WRITTEN.sub(written, text)


def printable(line: str) -> str:
    """A line that somebody else wrote, without what would move a terminal's cursor or colour it; of a progress bar
    that overwrites itself the last state."""
    return _CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2])
