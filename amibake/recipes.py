"""What goes into each of the two images."""

from __future__ import annotations

import glob
import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from amibake.builder import Builder, ImageFilter
from amibake.errors import InvalidOption
from amibake.events import Emit
from amibake.flow import bake, check
from amibake.host import Provisioner
from amibake.image import Image
from amibake.provisioners import File, Shell
from amibake.secret import Secret

if TYPE_CHECKING:
    from amibake.builder import CarnivoreOptions, PrimalOptions
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
            it goes along. [the tube's own, which has express]
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
    mistakes: list[str] = []
    _check_word(mistakes, "app", app)
    _check_word(mistakes, "nvm_version", nvm_version)
    _check_word(mistakes, "node_version", node_version, also="/*")  # lts/iron, lts/*
    if node_source not in ("nvm", "tarball"):
        mistakes.append(f'node_source: {node_source!r} is neither "nvm" nor "tarball"')
    tube = Path(mailtube) if mailtube is not None else shipped("mailtube")
    if not tube.is_dir():
        mistakes.append(f"mailtube: {tube} is not a directory")
    elif package_json is None:
        _check_package_json(mistakes, "mailtube", tube / "package.json")
    if package_json is not None:
        _check_package_json(mistakes, "package_json", Path(package_json))
    environment = {
        "INSTANCE_USER": options.get("ssh_username", "admin"),
        "NVM_VERSION": nvm_version,
        "NODE_VERSION": node_version,
        "NODE_SOURCE": node_source,
        "NODE_MIRROR": node_mirror or "",
        **_variables(mistakes, environment_vars),
    }
    uploads = [
        File(f"{tube}/", "/tmp/mailtube/"),  # noqa: S108 - where the article's script looks for it
        *(File(str(found), f"/tmp/mailtube/{name}") for name, found in _manifests(package_json).items()),  # noqa: S108
    ]
    run = Shell(script=_script(script, "primal"), environment_vars=environment)
    ours = {"app": app, "stage": "primal"}
    name, steps = f"{app}-primal {{{{timestamp}}}}", ([run], provisioners, error_cleanup_provisioners)
    builder = _checked({"ami_name": name, **options}, ours, steps, mistakes)
    return bake(
        builder,
        [*uploads, run, *provisioners],
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
    mistakes: list[str] = []
    _check_word(mistakes, "app", app)
    _check_word(mistakes, "node_env", node_env)
    _check_text(
        mistakes, "server_name", server_name, r"[A-Za-z0-9.*_~^ -]+", "a host name, or several with spaces between"
    )
    _check_text(mistakes, "nginx_workers", str(nginx_workers), "[1-9][0-9]*", "a number from 1 on")
    tree = Path(appserver)
    _check_appserver(mistakes, tree, node_env, runs_cluster=script is None)
    environment = {
        "INSTANCE_USER": options.get("ssh_username", "admin"),
        "NGINX_WORKERS": str(nginx_workers),
        "SERVER_NAME": server_name,
        "NODE_ENV": node_env,
        "NAME": f"{app}-{node_env}",
        **_variables(mistakes, environment_vars),
    }
    # The secrets of other environments must not even be in the blocks of the image's disk.
    others = [glob.escape(f"deploy/env/{path.name}") for path in _secrets(tree) if path.name != f"{node_env}.json"]
    upload = File(f"{tree}/", "/tmp/appserver/", exclude=others)  # noqa: S108 - as in primal
    run = Shell(script=_script(script, "carnivore"), environment_vars=environment)
    ours = {"app": app, "stage": "carnivore", "node_env": node_env}
    name = f"{app}-carnivore-{node_env} {{{{timestamp}}}}"
    steps = ([run], provisioners, error_cleanup_provisioners)
    builder = _checked({"ami_name": name, "source_ami": source_ami, **options}, ours, steps, mistakes)
    return bake(
        builder,
        [upload, run, *provisioners],
        error_cleanup_provisioners=error_cleanup_provisioners,
        on_error=on_error,
        resume=resume,
        session=session,
        on_event=on_event,
        handle_signals=handle_signals,
        cancel=cancel,
    )


def shipped(name: str) -> Path:
    """A script or directory of `provisioning/`: beside the package in a checkout, inside it in an installed wheel."""
    here = Path(__file__).parent
    packed = here / "_provisioning" / name
    return packed if packed.exists() else here.parent / "provisioning" / name


def _checked(
    options: dict[str, Any],
    ours: dict[str, str],
    steps: tuple[Sequence[Provisioner], Sequence[Provisioner], Sequence[Provisioner]],
    mistakes: list[str],
) -> Builder:
    """The builder of the user's options and those that the recipe decides, or an error with every mistake there is.
    The steps are ours, the user's, and those that are for failures."""
    mistakes.extend(f"{name}: no such option of this recipe" for name in sorted({"stage", "node_env"} & options.keys()))
    builder = Builder(ami_name="none")
    try:
        builder = Builder(**{**options, **ours})
    except InvalidOption as error:
        mistakes.extend(error.mistakes)
    ours_of_them, more, cleanup = steps
    for provisioners, cleaners in ((ours_of_them, ()), (more, cleanup)):
        try:
            check(builder, provisioners, cleaners)
        except InvalidOption as error:
            mistakes.extend(error.mistakes)
    if mistakes:
        raise InvalidOption(*mistakes)
    return builder


def _check_word(mistakes: list[str], option: str, value: object, *, also: str = "") -> None:
    """These go into names of files, services and images."""
    letters = f"one word of letters, digits and . _ - {also}".rstrip()
    _check_text(mistakes, option, value, rf"[A-Za-z0-9][A-Za-z0-9._{also}-]*", letters)


def _check_text(mistakes: list[str], option: str, value: object, pattern: str, what: str) -> None:
    if not isinstance(value, str):
        mistakes.append(f'{option}: {value!r} is not text, such as "{value}"')
    elif not re.fullmatch(pattern, value):
        mistakes.append(f"{option}: {value!r} is not {what}")


def _check_package_json(mistakes: list[str], option: str, path: Path) -> None:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        mistakes.append(f"{option}: {path}: {error.strerror}")
    except ValueError as error:
        mistakes.append(f"{option}: {path} is not JSON: {error}")
    else:
        if not isinstance(content, dict):
            mistakes.append(f"{option}: {path} holds no JSON object")


def _check_appserver(mistakes: list[str], tree: Path, node_env: str, *, runs_cluster: bool) -> None:
    if not tree.is_dir():
        mistakes.append(f"appserver: {tree} is not a directory")
        return
    _check_package_json(mistakes, "appserver", tree / "package.json")
    if runs_cluster and not (tree / "cluster.js").is_file():
        mistakes.append(f"appserver: {tree} has no cluster.js, which the service starts")
    secrets = [path.stem for path in _secrets(tree)]
    if secrets and node_env not in secrets:
        mistakes.append(f"node_env: {tree}/deploy/env has no {node_env}.json, only {', '.join(secrets)}")


def _secrets(tree: Path) -> list[Path]:
    return sorted((tree / "deploy" / "env").glob("*.json"))


def _variables(mistakes: list[str], given: object) -> dict[str, str | Secret]:
    """The user's variables; what is in them the script's own check looks at."""
    if given is not None and not isinstance(given, Mapping):
        mistakes.append('environment_vars: a mapping {"NAME": "value"}')
        return {}
    return dict(given or {})


def _manifests(package_json: StrPath | None) -> dict[str, Path]:
    """The application's package.json, and the lock file beside it where there is one, by their names in the tube."""
    if package_json is None:
        return {}
    path = Path(package_json)
    locks = {name: path.with_name(name) for name in ("package-lock.json", "npm-shrinkwrap.json")}
    return {"package.json": path, **{name: lock for name, lock in locks.items() if lock.exists()}}


def _script(given: StrPath | None, name: str) -> str:
    return os.fspath(given if given is not None else shipped(name))
