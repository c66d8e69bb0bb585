"""Finding what was baked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amibake.builder.access import Access
from amibake.ec2.cloud import connect
from amibake.ec2.images import find_published
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
    cloud = connect(session, build="", ledger=Ledger(), access=Access(region=region))
    wanted = {APP: app, STAGE: stage, NODE_ENV: node_env}
    return find_published(cloud, {key: value for key, value in wanted.items() if value is not None})
