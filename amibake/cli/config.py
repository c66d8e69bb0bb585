"""Options from a file: amibake.toml, or [tool.amibake] in pyproject.toml, of the directory that the command runs in.

    region = "eu-west-1"                    # for everything
    [primal]
    node_version = "22"                     # for amibake build primal
    [environments.production.carnivore]
    instance_type = ["t3.small", "t3a.small"]  # for amibake build carnivore --environment production

Options have their names in Python there. What is more special wins: a recipe's table over what is for everything, an
environment's over both, and the command line over all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from amibake.errors import InvalidOption

ENVIRONMENTS = "environments"


def configured(
    stage: str, environment: str | None, known: Mapping[str, Collection[str]], directory: Path = Path()
) -> dict[str, Any]:
    """The options that the file has for this recipe and environment; `known` are those of each recipe.

    Raises:
        InvalidOption: it can't be read, or has what there is not, each of them.
    """
    file, table = _table(directory)
    environments = table.pop(ENVIRONMENTS, {})
    if not isinstance(environments, dict):
        raise InvalidOption(f"{file}: {ENVIRONMENTS} has to hold a table for each environment")
    mistakes = list(_mistakes(str(file), table, known))
    for name, one in environments.items():
        mistakes += _mistakes(f"{file}: {ENVIRONMENTS}.{name}", one, known)
    if environment is not None and environment not in environments:
        there = ", ".join(environments) or "none"
        mistakes.append(f"environment: {file or 'no file here'} has no {environment!r}; there are: {there}")
    if mistakes:
        raise InvalidOption(*mistakes)
    chosen = environments.get(environment, {})
    everything = {
        **_own(table, known),
        **table.get(stage, {}),
        **_own(chosen, known),
        **chosen.get(stage, {}),
    }
    return {name: value for name, value in everything.items() if name in known[stage]}


def _own(table: Mapping[str, Any], stages: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in stages}


def _table(directory: Path) -> tuple[Path | None, dict[str, Any]]:
    for name, path in (("amibake.toml", ()), ("pyproject.toml", ("tool", "amibake"))):
        file = directory / name
        try:
            found: Any = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise InvalidOption(f"{file}: {error}") from error
        for number, key in enumerate(path, start=1):
            found = found.get(key, {})
            if not isinstance(found, dict):
                raise InvalidOption(f"{file}: {'.'.join(path[:number])} has to be a table")
        if found or name == "amibake.toml":
            return file, dict(found)
    return None, {}


def _mistakes(where: str, table: object, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    if not isinstance(table, Mapping):
        yield f"{where}: has to be a table"
        return
    everywhere = {name for names in known.values() for name in names}
    for name, value in table.items():
        if name not in known:
            yield from _unknown(where, name, everywhere)
        elif not isinstance(value, Mapping):
            yield f"{where}: {name} has to be a table"
        else:
            for option in value:
                yield from _unknown(f"{where}: {name}", option, known[name])


def _unknown(where: str, name: str, known: Collection[str]) -> Iterator[str]:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        yield f"{where}: {name}: no such option" + (f"; did you mean {near[0]}?" if near else "")
