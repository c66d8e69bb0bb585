"""What is said of each option: the text below its declaration in the source.

Read when somebody wants to know it, a person or the command line's help. A bake does not, and pydantic's own way, which
has read every class by the time it is imported, takes as long as half of what a bake takes to import.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel


@cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """The text of each of the model's options, by their names; none at all where the source is not there."""
    return {name: text for cls in reversed(model.__mro__) for name, text in _own(cls) if name in model.model_fields}


def _own(cls: type) -> Iterator[tuple[str, str]]:
    try:
        (parsed,) = ast.parse(inspect.getsource(cls)).body
    except (OSError, TypeError):
        return
    assert isinstance(parsed, ast.ClassDef)  # noqa: S101 - of a class
    for declared, below in zip(parsed.body, parsed.body[1:], strict=False):
        if isinstance(declared, ast.AnnAssign) and isinstance(declared.target, ast.Name):
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
            if isinstance(text, str):
                yield declared.target.id, inspect.cleandoc(text)
