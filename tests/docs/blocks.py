"""The examples of a page: its blocks of code, as Markdown has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent.parent
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not page.startswith("docs/_build/")]

_FILE = re.compile(r"<!-- file: (\S+) -->")
_SANDBOX = re.compile(r"amibake\.sandbox|amibake sandbox|--sandbox|-m sandbox")


@dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        page: The page, from the root.
        line: Where its first line is there, from 1.
        language: What it is written in.
        text: What is in it.
        file: The name of the file that it is, where a comment before it says so.
    """

    page: str
    line: int
    language: str
    text: str
    file: str | None = None

    @property
    def place(self) -> str:
        """Where a person finds it."""
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """All of them, in their order. Directives of Sphinx's are none, and what is indented is for the shell."""
    return list(_blocks(page, (ROOT / page).read_text()))


def _blocks(page: str, text: str) -> Iterator[Block]:
    file = None
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "html_block" and (named := _FILE.search(token.content)):
            file = named[1]
        elif token.type in ("fence", "code_block") and token.map:
            language = token.info.strip() if token.type == "fence" else "sh"
            if not language.startswith("{"):
                yield Block(page, token.map[0] + (2 if token.type == "fence" else 1), language, token.content, file)
            file = None


def in_sandbox(block: Block, others: list[Block]) -> bool:
    """Whether it bakes on this machine: it says so, or it runs a file of the page that does."""
    files = [one.file for one in others if one.file and one is not block and _SANDBOX.search(one.text)]
    return bool(_SANDBOX.search(block.text)) or any(file in block.text for file in files)
