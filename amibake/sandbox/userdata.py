"""What the sandbox's stand-in for cloud-init makes of user data: as much of cloud-init's formats as it knows.

It knows scripts, boothooks, MIME messages of these, and of cloud-config, in JSON only, the SSH host keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_string
from typing import Any

_KINDS = {"#!": "text/x-shellscript", "#cloud-boothook": "text/cloud-boothook", "#cloud-config\n": "text/cloud-config"}
_HOST_KEY = re.compile("(rsa|ecdsa|ed25519)_(private|public)")
_TO_BE_GUESSED = ("text/plain", "text/x-not-multipart", "text/x-shellscript")


@dataclass
class Meant:
    """What is to be done.

    Attributes:
        boothooks: Scripts for each boot, before sshd.
        scripts: Scripts for the first boot, after everything else.
        host_keys: What is to be in /etc/ssh, {name: content}, in place of the host keys that are there.
        ignored: What is not known here, a line each.
    """

    boothooks: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    host_keys: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def meant_by(user_data: str) -> Meant:
    """Take user data apart."""
    meant = Meant()
    for kind, text in _parts(user_data):
        if kind == "text/x-shellscript":
            meant.scripts.append(text)
        elif kind == "text/cloud-boothook":
            meant.boothooks.append(text.removeprefix("#cloud-boothook").lstrip())
        elif kind == "text/cloud-config":
            _configure(meant, text)
        else:
            meant.ignored.append("user data that is not a #! script")
    return meant


def _parts(user_data: str) -> Iterator[tuple[str, str]]:
    if not user_data.strip():
        return
    if "mime-version:" not in user_data[:4096].lower():
        yield _guessed(user_data), user_data
        return
    for part in message_from_string(user_data).walk():
        if not part.is_multipart():
            content: Any = part.get_payload(decode=True)
            text, kind = content.decode(errors="replace"), part.get_content_type()
            yield _guessed(text) if kind in _TO_BE_GUESSED else kind, text


def _guessed(text: str) -> str:
    return next((kind for beginning, kind in _KINDS.items() if text.startswith(beginning)), "text/plain")


def _configure(meant: Meant, text: str) -> None:
    try:
        settings = json.loads(text.removeprefix("#cloud-config"))
    except ValueError:
        meant.ignored.append("user data: #cloud-config is not interpreted here, unless it is JSON")
        return
    if not isinstance(settings, dict):
        meant.ignored.append("user data: #cloud-config that is no mapping")
        return
    keys = settings.pop("ssh_keys", {})
    for name, key in keys.items() if isinstance(keys, dict) else [("", keys)]:
        found = _HOST_KEY.fullmatch(name)
        if found is None or not isinstance(key, str):
            meant.ignored.append("user data: of ssh_keys, what is no host key")
            continue
        kind, half = found.groups()
        meant.host_keys[f"ssh_host_{kind}_key{'.pub' if half == 'public' else ''}"] = key.rstrip("\n") + "\n"
    settings.pop("ssh_deletekeys", None)  # keys that are given are the only ones in any case
    meant.ignored += (f"user data: of #cloud-config, {name} is not interpreted here" for name in settings)
