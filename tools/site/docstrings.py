"""Docstrings as Sphinx reads them: ours are plain text with `code`, sections as Google's, and indented examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import roles
from sphinx import addnodes
from sphinx.application import Sphinx

import amibake

ROLE = "code-or-name"


def setup(app: Sphinx) -> None:
    """Let them be read so."""
    roles.register_local_role(ROLE, _in_backticks)  # type: ignore[arg-type]
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon's
    app.connect("missing-reference", _public)


def _in_backticks(_: str, raw: str, text: str, __: int, inliner: Any, *___: Any) -> tuple[list[nodes.Node], list[Any]]:
    """Code, which leads to what is public and called so."""
    literal = nodes.literal(raw, text)
    if text not in amibake.__all__:
        return [literal], []
    where = inliner.document.settings.env.current_document.docname
    known = {"refdomain": "py", "reftype": "obj", "reftarget": f"amibake.{text}", "refexplicit": False, "refdoc": where}
    return [addnodes.pending_xref(raw, literal, **known)], []


def _signature(_: Sphinx, __: str, ___: str, ____: Any, _____: Any, arguments: str | None, returns: str | None) -> Any:
    """None for what nobody makes but ourselves, of parts that are nobody's business."""
    return ("()", returns) if re.search(r"\W_\w", arguments or "") else None


def _process(_: Sphinx, what: str, ___: str, ____: Any, _____: Any, lines: list[str]) -> None:
    first = ["..", ""] if what == "property" else []  # of a first line napoleon takes for a type what is before a colon
    lines[:] = [*first, *_as_restructured(lines)]


def _as_restructured(lines: list[str]) -> Iterator[str]:
    """Stars and underscores are what they are, and what is indented after a blank line is code."""
    before, code = "-", False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not code and not before:
            yield from ("::", "")
            code = True
        code = code and (indented or not line)
        yield line if code else _escaped(line)
        before = line


def _escaped(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    special = re.compile(r"\*(?=\S)|(?<=\w)_(?=\W|$)|\|")
    return "".join(part if part.startswith("`") else special.sub(r"\\\g<0>", part) for part in parts)


def _public(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """What annotations name by where it is written, by the name under which it is public."""
    name = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in amibake.__all__:
        return None
    target = f"amibake.{name}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)
