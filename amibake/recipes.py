"""What goes into each of the two images."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from amibake.builder import Builder, CarnivoreOptions, ImageFilter, PrimalOptions
from amibake.errors import InvalidOption
from amibake.events import Emit
from amibake.flow import bake, check
from amibake.host import Provisioner
from amibake.image import Image
from amibake.provisioners import File, Shell

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session

StrPath = str | os.PathLike[str]


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
    environment_vars: Mapping[str, str] | None = None,
    *,
    session: Session | None = None,
    on_event: Emit | None = None,
    **options: Unpack[PrimalOptions],
) -> Image:
    """Bake the base image: OS tweaks, nginx, node, and the application's npm dependencies. Rarely done.

    Args:
        app: The application: in the image's name and its tag `amibake:app`.
        package_json: The application's package.json, whose dependencies are installed beforehand; a lock file beside
            it goes along. [the tube's own, which has express]
        mailtube: The directory that is sent up to /tmp/mailtube [the one that ships with amibake].
        script: The provisioning script [the one that ships with amibake].
        provisioners: More to do on the builder, after the script.
        nvm_version: The release of nvm to install, with node_source="nvm".
        node_version: The version of node, as far as it matters: "22", "0.10", "20.11.1".
        node_source: "nvm", or "tarball" for node's own archive, its checksum verified.
        node_mirror: Where node comes from, with the layout of nodejs.org/dist [nodejs.org itself].
        environment_vars: More environment for the script; it is not left in the image.
        session: See `bake`.
        on_event: See `bake`.
        options: The builder's options, see `Builder`: `source_ami` and `instance_type` first of all. `ami_name` is by
            default `{app}-primal {{timestamp}}`.

    Raises:
        InvalidOption: every mistake in one error, before anything is launched.
        AmibakeError: see `bake`.
    """
    mistakes: list[str] = []
    _check_word(mistakes, "app", app)
    _check_word(mistakes, "nvm_version", nvm_version)
    _check_word(mistakes, "node_version", node_version)
    if node_source not in ("nvm", "tarball"):
        mistakes.append(f'node_source: {node_source!r} is neither "nvm" nor "tarball"')
    tube = Path(mailtube) if mailtube is not None else shipped("mailtube")
    manifest = Path(package_json) if package_json is not None else tube / "package.json"
    _check_package_json(mistakes, "package_json", manifest)
    environment = {
        "INSTANCE_USER": options.get("ssh_username", "admin"),
        "NVM_VERSION": nvm_version,
        "NODE_VERSION": node_version,
        "NODE_SOURCE": node_source,
        "NODE_MIRROR": node_mirror or "",
        **(environment_vars or {}),
    }
    steps: list[Provisioner] = [
        File(f"{tube}/", "/tmp/mailtube/"),  # noqa: S108 - where the article's script looks for it
        *(File(str(found), f"/tmp/mailtube/{name}") for name, found in _manifests(package_json).items()),  # noqa: S108
        Shell(script=_script(script, "primal"), environment_vars=environment),
        *provisioners,
    ]
    ours = {"app": app, "stage": "primal"}
    return _bake({"ami_name": f"{app}-primal {{{{timestamp}}}}", **options}, ours, steps, mistakes, session, on_event)


def build_carnivore(
    source_ami: str | ImageFilter,
    appserver: StrPath,
    app: str = "ponyfoo",
    node_env: str = "staging",
    server_name: str = "ponyfoo.com",
    nginx_workers: int = 4,
    script: StrPath | None = None,
    provisioners: Sequence[Provisioner] = (),
    environment_vars: Mapping[str, str] | None = None,
    *,
    session: Session | None = None,
    on_event: Emit | None = None,
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
        session: See `bake`.
        on_event: See `bake`.
        options: The builder's options, see `Builder`. `ami_name` is by default
            `{app}-carnivore-{node_env} {{timestamp}}`.

    Raises:
        InvalidOption: every mistake in one error, before anything is launched.
        AmibakeError: see `bake`.
    """
    mistakes: list[str] = []
    _check_word(mistakes, "app", app)
    _check_word(mistakes, "node_env", node_env)
    if not re.fullmatch(r"[A-Za-z0-9.*_~^ -]+", server_name):
        mistakes.append(f"server_name: {server_name!r} is not a host name, or several with spaces between them")
    if nginx_workers < 1:
        mistakes.append(f"nginx_workers: {nginx_workers} is less than 1")
    if Path(appserver).is_dir():
        _check_package_json(mistakes, "appserver", Path(appserver) / "package.json")
    environment = {
        "INSTANCE_USER": options.get("ssh_username", "admin"),
        "NGINX_WORKERS": str(nginx_workers),
        "SERVER_NAME": server_name,
        "NODE_ENV": node_env,
        "NAME": f"{app}-{node_env}",
        **(environment_vars or {}),
    }
    steps: list[Provisioner] = [
        File(f"{os.fspath(appserver).rstrip('/')}/", "/tmp/appserver/"),  # noqa: S108 - as in primal
        Shell(script=_script(script, "carnivore"), environment_vars=environment),
        *provisioners,
    ]
    ours = {"app": app, "stage": "carnivore", "node_env": node_env}
    name = f"{app}-carnivore-{node_env} {{{{timestamp}}}}"
    return _bake({"ami_name": name, "source_ami": source_ami, **options}, ours, steps, mistakes, session, on_event)


def shipped(name: str) -> Path:
    """A script or directory of `provisioning/`: beside the package in a checkout, inside it in an installed wheel."""
    here = Path(__file__).parent
    packed = here / "_provisioning" / name
    return packed if packed.exists() else here.parent / "provisioning" / name


def _bake(
    options: dict[str, Any],
    ours: dict[str, str],
    steps: Sequence[Provisioner],
    mistakes: list[str],
    session: Session | None,
    on_event: Emit | None,
) -> Image:
    """Bake with the user's options and those that the recipe decides, or raise with every mistake there is."""
    mistakes.extend(f"{name}: no such option of this recipe" for name in sorted({"stage", "node_env"} & options.keys()))
    builder = None
    try:
        builder = Builder(**{**options, **ours})
    except InvalidOption as error:
        mistakes.extend(error.mistakes)
    try:
        check(steps)
    except InvalidOption as error:
        mistakes.extend(error.mistakes)
    if mistakes or builder is None:
        raise InvalidOption(*mistakes)
    return bake(builder, steps, session=session, on_event=on_event)


def _check_word(mistakes: list[str], option: str, value: str) -> None:
    """These go into names of files, services and images."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        mistakes.append(f"{option}: {value!r} is not one word of letters, digits and . _ -")


def _check_package_json(mistakes: list[str], option: str, path: Path) -> None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        mistakes.append(f"{option}: {path} cannot be read as JSON: {error}")
        return
    if not isinstance(content, dict):
        mistakes.append(f"{option}: {path} holds no JSON object")


def _manifests(package_json: StrPath | None) -> dict[str, Path]:
    """The application's package.json, and the lock file beside it where there is one, by their names in the tube."""
    if package_json is None:
        return {}
    path = Path(package_json)
    locks = {name: path.with_name(name) for name in ("package-lock.json", "npm-shrinkwrap.json")}
    return {"package.json": path, **{name: lock for name, lock in locks.items() if lock.exists()}}


def _script(given: StrPath | None, name: str) -> str:
    return os.fspath(given if given is not None else shipped(name))
