"""User data for the machine's first boot, put together from the user's own and from parts of ours.

cloud-init takes several things at once as one MIME message (https://cloudinit.readthedocs.io, "User data formats").
"""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import Sequence
from dataclasses import dataclass, field

from amibake.builder.instance import USER_DATA_LIMIT

_BEGINNINGS = (
    "#!",
    "## template: jinja",
    "#cloud-boothook",
    "#cloud-config",  # also -archive and -jsonp
    "#include",  # also -once
    "#part-handler",
    "#upstart-job",
)
_BOUNDARY = "==amibake=part=of=user=data=="


@dataclass(frozen=True)
class Part:
    """Something for cloud-init: its MIME type, such as "text/cloud-config", and its text, which is not shown."""

    kind: str
    text: str = field(repr=False)


def is_for_cloud_init(text: str) -> bool:
    """Whether cloud-init would make something of this; other user data is for a program of the user's own."""
    return text.startswith(_BEGINNINGS) or _is_message(text)


def combined(first: Sequence[Part], own: str | None, last: Sequence[Part] = ()) -> str:
    """One user data of all of these, in this order. `own` is the user's and stays as it is, a MIME message included.
    What comes later has the last word where two say different things of one key of cloud-config.

    Raises:
        ValueError: `own` is not for cloud-init, or it is all together more than EC2 takes.
    """
    if own and not is_for_cloud_init(own):
        raise ValueError("the user data is not for cloud-init, so that nothing can be added to it")
    parts = [*map(_part, first), *([own if _is_message(own) else _part(Part("text/plain", own))] if own else [])]
    parts += map(_part, last)
    body = "".join(f"--{_BOUNDARY}\n{part}\n" for part in parts)
    whole = f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"\nMIME-Version: 1.0\n\n{body}--{_BOUNDARY}--\n'
    if (size := len(whole.encode())) > USER_DATA_LIMIT:
        raise ValueError(f"with what is added to it the user data has {size:,} bytes; EC2 takes {USER_DATA_LIMIT:,}")
    return whole


def _is_message(text: str) -> bool:
    """By the rule of cloud-init itself."""
    return "mime-version:" in text[:4096].lower()


def _part(part: Part) -> str:
    headers = f'Content-Type: {part.kind}; charset="utf-8"\nMIME-Version: 1.0\n'
    if part.text.isascii():
        return f"{headers}\n{part.text}"
    # as it is, the parser that cloud-init uses takes it for Latin-1
    return f"{headers}Content-Transfer-Encoding: base64\n\n{encodebytes(part.text.encode()).decode()}"
