"""Which image to start from, as the command line says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from amibake.builder import DEBIAN_12, DEBIAN_13, UBUNTU_24_04
from amibake.builder.access import Access
from amibake.builder.source import AMI_ID
from amibake.cli.kinds import Kind, parsed
from amibake.errors import InvalidOption, SourceImageNotFound
from amibake.image import APP, STAGE
from amibake.ledger import Ledger

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session

KNOWN = {"debian-12": DEBIAN_12, "debian-13": DEBIAN_13, "ubuntu-24.04": UBUNTU_24_04}
LATEST = "latest-primal"
WORDS = (*KNOWN, LATEST)


def source(text: str) -> Any:
    """An image's id, one of the names that are known here, or the fields of an ImageFilter as JSON.

    Raises:
        ValueError: none of them.
    """
    if text in KNOWN:
        return KNOWN[text]
    if text.lstrip().startswith("{"):
        return parsed(text)
    if text == LATEST or re.match(AMI_ID, text):
        return text
    raise ValueError(f"an image's id, {', '.join(WORDS)}, or the JSON of an ImageFilter, not {text!r}")


SOURCE = Kind(
    str, "AMI", source, WORDS, note=f" Here also {', '.join(KNOWN)}, or {LATEST} for the newest primal image of --app."
)


def latest_primal(app: str, options: Mapping[str, Any], session: Session | None) -> str:
    """The id of the newest primal image of this application, in the account or, with a session, in the sandbox.

    Raises:
        SourceImageNotFound: there is none.
        InvalidOption: the options that say whose account it is are wrong.
    """
    from amibake.ec2.cloud import connect
    from amibake.ec2.images import find_published

    access = Access(**{name: value for name, value in options.items() if name in Access.model_fields})
    cloud = connect(session, build="", ledger=Ledger(), access=access)
    found = find_published(cloud, {APP: app, STAGE: "primal"})
    if found is None:
        hint = f"bake one first: amibake build primal --app {app}"
        if session is not None:
            hint = "--sandbox begins with nothing: keep one up with `amibake sandbox up`, and bake both images in that"
        raise SourceImageNotFound(f"source_ami: there is no primal image of {app} in {cloud.region}", hint=hint)
    return found.id


def settled(options: dict[str, Any], app: object, session: Session | None) -> dict[str, Any]:
    """The options with an id in place of "latest-primal". Where it can't be looked up because options are wrong, some
    other id: the recipe says what is wrong, with all the rest."""
    if options.get("source_ami") != LATEST:
        return options
    found = "ami-00000000"
    if isinstance(app, str):
        with suppress(InvalidOption):
            found = latest_primal(app, options, session)
    return {**options, "source_ami": found}
