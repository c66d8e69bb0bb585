"""Removing what bakes have left that could not clean up: those that were killed, say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amibake.ec2.remains import Remnant, Spared
from amibake.events import Emit

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session


@dataclass(frozen=True)
class Sweep:
    """What a sweep has done, or would do.

    Attributes:
        removed: What it has removed; in a dry run what it would.
        finished: Images and snapshots that are published but were still marked as drafts, and are so no more; in a dry
            run those that would not be.
        spared: What has the tags of something temporary and stays, each with the reason: above all what belongs to
            bakes that go on.
        leftovers: What could not be removed, one line each, with the command that removes it.
        warnings: What could not be looked at, and the like.
        regions: Where it has looked.
        dry_run: Whether it has only looked.
    """

    removed: tuple[Remnant, ...]
    finished: tuple[Remnant, ...]
    spared: tuple[Spared, ...]
    leftovers: tuple[str, ...]
    warnings: tuple[str, ...]
    regions: tuple[str, ...]
    dry_run: bool


def sweep(
    *,
    regions: str | Iterable[str] | None = None,
    build: str | None = None,
    dry_run: bool = False,
    session: Session | None = None,
    on_event: Emit | None = None,
) -> Sweep:
    """Remove what dead bakes have left in the account: what carries their tags and has expired.

    Args:
        regions: Where to look: one region's name or several, or "all" for all that the account has enabled. By default
            the session's region. What IAM has is looked for in any case.
        build: The id of a bake, as it is printed at its start and in every error: remove what is left of that, and
            nothing else, whether it has expired or not, and be its builder running.
        dry_run: Only look.
        session: Whose account; with None, boto3's own resolution applies.
        on_event: Receives what happens as it happens (see `amibake.events`), one event at a time but in several
            threads; with None it goes to `logging`.

    Raises:
        InvalidOption: these are no names of regions, or this is no id of a bake.
        NotAuthorized: nothing may be looked at anywhere.
    """
    raise NotImplementedError
