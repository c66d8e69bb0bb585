"""The two recipes: baking the images of the article's method."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Unpack

from amibake.builder import ImageFilter
from amibake.events import Emit
from amibake.flow import bake
from amibake.host import Provisioner
from amibake.image import Image
from amibake.ingredients import StrPath, carnivore, primal, shipped
from amibake.secret import Secret

if TYPE_CHECKING:
    from amibake.builder import CarnivoreOptions, PrimalOptions
    from amibake.ec2.cloud import Session

__all__ = ["build_carnivore", "build_primal", "shipped"]


def build_primal(
    app: str = "ponyfoo",
    package_json: StrPath | None = None,
    mailtube: StrPath | None = None,
    script: StrPath | None = None,
    provisioners: Sequence[Provisioner] = (),
    nvm_version: str = "v0.24.0",
    node_version: str = "0.10",
    node_source: Literal["nvm", "tarball"] = "nvm",
    node_mirror: str | None = None,
    environment_vars: Mapping[str, str | Secret] | None = None,
    *,
    error_cleanup_provisioners: Sequence[Provisioner] = (),
    on_error: Literal["cleanup", "keep"] = "cleanup",
    resume: str | None = None,
    session: Session | None = None,
    on_event: Emit | None = None,
    handle_signals: bool = True,
    cancel: threading.Event | None = None,
    **options: Unpack[PrimalOptions],
) -> Image:
    """Bake the base image: OS tweaks, nginx, node, and the application's npm dependencies. Rarely done.

    Args:
        app: The application: in the image's name and its tag `amibake:app`.
        package_json: The application's package.json, whose dependencies are installed beforehand; a lock file beside
            it goes along. [the tube's own; in the one that ships with amibake that is called `app` and has express]
        mailtube: The directory that is sent up to /tmp/mailtube [the one that ships with amibake].
        script: The provisioning script [the one that ships with amibake].
        provisioners: More to do on the builder, after the script.
        nvm_version: The release of nvm to install, with node_source="nvm".
        node_version: The version of node, as far as it matters: "22", "0.10", "20.11.1".
        node_source: "nvm", or "tarball" for node's own archive, its checksum verified.
        node_mirror: Where node comes from, with the layout of nodejs.org/dist [nodejs.org itself].
        environment_vars: More environment for the script; it is not left in the image.
        error_cleanup_provisioners, on_error, resume, session, on_event, handle_signals, cancel: See `bake`.
        options: The builder's options, see `Builder`: `source_ami` and `instance_type` first of all. `ami_name` is by
            default `{app}-primal {{timestamp}}`.

    Raises:
        InvalidOption: every mistake in one error, before anything is launched.
        AmibakeError: see `bake`.
    """
    recipe = primal(
        app,
        package_json,
        mailtube,
        script,
        provisioners,
        nvm_version,
        node_version,
        node_source,
        node_mirror,
        environment_vars,
        error_cleanup_provisioners=error_cleanup_provisioners,
        **options,
    )
    return bake(
        recipe.builder,
        recipe.provisioners,
        error_cleanup_provisioners=error_cleanup_provisioners,
        on_error=on_error,
        resume=resume,
        session=session,
        on_event=on_event,
        handle_signals=handle_signals,
        cancel=cancel,
    )


def build_carnivore(
    source_ami: str | ImageFilter,
    appserver: StrPath,
    app: str = "ponyfoo",
    node_env: str = "staging",
    server_name: str = "ponyfoo.com",
    nginx_workers: int = 4,
    script: StrPath | None = None,
    provisioners: Sequence[Provisioner] = (),
    environment_vars: Mapping[str, str | Secret] | None = None,
    *,
    error_cleanup_provisioners: Sequence[Provisioner] = (),
    on_error: Literal["cleanup", "keep"] = "cleanup",
    resume: str | None = None,
    session: Session | None = None,
    on_event: Emit | None = None,
    handle_signals: bool = True,
    cancel: threading.Event | None = None,
    **options: Unpack[CarnivoreOptions],
) -> Image:
    """Bake the deployment image on top of a primal one: the application, its nginx site, the service that starts
    at boot. Done at every deploy.

    Args:
        source_ami: The primal image's id, or an ImageFilter.
        appserver: The built application, a directory with package.json and cluster.js; it is sent up to /tmp/appserver.
        app: The application: in the image's name, the service's name, and the tag `amibake:app`.
        node_env: NODE_ENV of the application; also chooses deploy/env/{node_env}.json, its secrets.
        server_name: nginx's server_name.
        nginx_workers: nginx's worker_processes.
        script: The provisioning script [the one that ships with amibake].
        provisioners: More to do on the builder, after the script.
        environment_vars: More environment for the script; it is not left in the image.
        error_cleanup_provisioners, on_error, resume, session, on_event, handle_signals, cancel: See `bake`.
        options: The builder's options, see `Builder`. `ami_name` is by default
            `{app}-carnivore-{node_env} {{timestamp}}`.

    Raises:
        InvalidOption: every mistake in one error, before anything is launched.
        AmibakeError: see `bake`.
    """
    recipe = carnivore(
        source_ami,
        appserver,
        app,
        node_env,
        server_name,
        nginx_workers,
        script,
        provisioners,
        environment_vars,
        error_cleanup_provisioners=error_cleanup_provisioners,
        **options,
    )
    return bake(
        recipe.builder,
        recipe.provisioners,
        error_cleanup_provisioners=error_cleanup_provisioners,
        on_error=on_error,
        resume=resume,
        session=session,
        on_event=on_event,
        handle_signals=handle_signals,
        cancel=cancel,
    )
