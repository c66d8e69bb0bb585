"""Finding what was baked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amibake.builder.access import Access
from amibake.ec2.cloud import connect
from amibake.ec2.images import published
from amibake.image import APP, NODE_ENV, STAGE, Image
from amibake.ledger import Ledger

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session


def find_image(
    *,
    app: str,
    stage: str | None = None,
    node_env: str | None = None,
    region: str | None = None,
    session: Session | None = None,
) -> Image | None:
    """The newest published image of this application (and stage, and environment) in the account, or None.

    `find_image(app="ponyfoo", stage="primal")`
    """
    return next(_found(app, stage, node_env, region, session), None)


def find_images(
    *,
    app: str | None = None,
    stage: str | None = None,
    node_env: str | None = None,
    region: str | None = None,
    session: Session | None = None,
) -> list[Image]:
    """All published images in the account, of this application, stage and environment where they are given; the newest
    first.

    `find_images(app="ponyfoo")`
    """
    return list(_found(app, stage, node_env, region, session))


def _found(
    app: str | None, stage: str | None, node_env: str | None, region: str | None, session: Session | None
) -> Iterator[Image]:
    cloud = connect(session, build="", ledger=Ledger(), access=Access(region=region))
    wanted = {APP: app, STAGE: stage, NODE_ENV: node_env}
    return published(cloud, {key: value for key, value in wanted.items() if value is not None})
