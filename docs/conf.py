"""How the site is built: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from _ext import docstrings  # noqa: E402
from _ext.commands import commands  # noqa: E402

import amibake.testing  # noqa: E402

for module in (amibake, amibake.testing):  # which find their names when asked; autodoc looks at what is there
    vars(module).update({name: getattr(module, name) for name in module.__all__})

project = "amibake"
copyright = "the authors of amibake"  # noqa: A001 - Sphinx's name for it
release = amibake.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_ext"]
templates_path: list[str] = []

smartquotes_action = "D"  # dashes alone: values are to be copied as they stand

html_theme = "furo"
html_title = f"amibake {release}"
html_static_path = ["_static"]
html_css_files = ["amibake.css"]
html_extra_path = ["json-lines.schema.json"]
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 80

default_role = docstrings.ROLE
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!amibake\.).*"),  # other projects' names, whose pages a build without a network can't look up
    (r"py:.*", r"amibake\.(?!testing\.|sandbox\.|events\.|errors\.)\w+\..*"),  # modules that are no part of the API
    (r"py:.*", r"amibake\.[a-z_]+\.[a-z_]+\..*"),
]


def written(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001 - as Sphinx calls it
    """The options of all commands, where their page wants them."""
    if name == "index" and not (HERE / "performance.md").exists():  # it is written by what measures
        source[0] = "".join(line for line in source[0].splitlines(True) if "performance" not in line)
    if name == "api/commands":
        source[0] = source[0].replace("<!-- every command -->", commands())


def setup(app: Sphinx) -> None:
    """What this file adds to Sphinx."""
    app.add_lexer("hcl", TextLexer)  # Pygments' own knows Terraform's only
    docstrings.setup(app)
    app.connect("source-read", written)
