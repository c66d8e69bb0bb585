"""What goes into each of the two images: the builder, and what is done on it."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from amibake.builder import Builder, ImageFilter
from amibake.errors import InvalidOption
from amibake.flow import check
from amibake.host import Provisioner
from amibake.provisioners import File, Shell
from amibake.secret import Secret

if TYPE_CHECKING:
    from amibake.builder import CarnivoreOptions, PrimalOptions

StrPath = str | os.PathLike[str]

_TUBE = "/tmp/mailtube/"  # noqa: S108 - where the article's script looks for it


@dataclass(frozen=True)
class Recipe:
    """What goes into `bake`: the builder, and what is done on it, in order."""

    builder: Builder
    provisioners: tuple[Provisioner, ...]


def primal(
    app: str,
    package_json: StrPath | None,
    mailtube: StrPath | None,
    script: StrPath | None,
    provisioners: Sequence[Provisioner],
    nvm_version: str,
    node_version: str,
    node_source: Literal["nvm", "tarball"],
    node_mirror: str | None,
    environment_vars: Mapping[str, str | Secret] | None,
    *,
    error_cleanup_provisioners: Sequence[Provisioner],
    **options: Unpack[PrimalOptions],
) -> Recipe:
    """What `build_primal` bakes, with nothing done yet. Raises InvalidOption, with every mistake."""
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
        File(f"{tube}/", _TUBE),
        *(File(str(found), f"{_TUBE}{name}") for name, found in _manifests(package_json).items()),
        *([File(content=_named(app), destination=f"{_TUBE}package.json")] if package_json is mailtube is None else []),
    ]
    run = Shell(script=_script(script, "primal"), environment_vars=environment)
    ours = {"app": app, "stage": "primal"}
    name, steps = f"{app}-primal {{{{timestamp}}}}", ([run], provisioners, error_cleanup_provisioners)
    builder = _checked({"ami_name": name, **options}, ours, steps, mistakes)
    return Recipe(builder, (*uploads, run, *provisioners))


def carnivore(
    source_ami: str | ImageFilter,
    appserver: StrPath,
    app: str,
    node_env: str,
    server_name: str,
    nginx_workers: int,
    script: StrPath | None,
    provisioners: Sequence[Provisioner],
    environment_vars: Mapping[str, str | Secret] | None,
    *,
    error_cleanup_provisioners: Sequence[Provisioner],
    **options: Unpack[CarnivoreOptions],
) -> Recipe:
    """What `build_carnivore` bakes, with nothing done yet. Raises InvalidOption, with every mistake."""
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
    return Recipe(builder, (upload, run, *provisioners))


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


def _named(app: str) -> str:
    """The package.json that ships with amibake, as the application's."""
    package: dict[str, object] = json.loads((shipped("mailtube") / "package.json").read_bytes())
    return json.dumps({**package, "name": app.lower()}, indent=2) + "\n"


def _script(given: StrPath | None, name: str) -> str:
    return os.fspath(given if given is not None else shipped(name))
