"""How the site is built: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import amibake.testing  # noqa: E402
from tools.site import docstrings  # noqa: E402
from tools.site.commands import commands  # noqa: E402

# They find their names when they are asked for one; autodoc looks at what is there.
for module in (amibake, amibake.testing):
    vars(module).update({name: getattr(module, name) for name in module.__all__})

project = "amibake"
copyright = "the authors of amibake"  # noqa: A001 - Sphinx's name for it
release = amibake.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
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
    # other projects' names, which a build without a network can't look up
    (r"py:.*", r"(?!amibake\.).*"),
    # modules that are no part of the API
    (r"py:.*", r"amibake\.(?!testing\.|sandbox\.|events\.|errors\.)\w+\..*"),
    (r"py:.*", r"amibake\.[a-z_]+\.[a-z_]+\..*"),
]


def written(_: Sphinx, name: str, source: list[str]) -> None:
    """The options of all commands, where their page wants them."""
    if name == "api/commands":
        source[0] = source[0].replace("<!-- every command -->", commands())


def setup(app: Sphinx) -> None:
    """What this file adds to Sphinx."""
    app.add_lexer("hcl", TextLexer)  # Pygments' own knows Terraform's only
    docstrings.setup(app)
    app.connect("source-read", written)
