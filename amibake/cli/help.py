"""The help of a command with many options: each with its name whole, and below it what it means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from rich.console import RenderableType

_INDENT = 4


class Stacked(TyperCommand):
    """A command whose help is such; a table would cut off long names on a narrow terminal."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print it."""
        from rich.console import Console, Group
        from rich.padding import Padding
        from rich.panel import Panel
        from rich.text import Text

        console = Console(highlight=False)
        usage = " ".join([ctx.command_path, *self.collect_usage_pieces(ctx)])
        console.print(Padding(Text(f"Usage: {usage}", "bold"), 1))
        console.print(Padding(Text(self.help or ""), (0, 1, 1, 1)))
        for title, options in self._panels(ctx).items():
            entries = [line for option in options for line in _entry(option)]
            console.print(Panel(Group(*entries), title=Text(title), title_align="left", border_style="dim"))

    def _panels(self, ctx: Any) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for option in self.get_params(ctx):
            if not getattr(option, "hidden", False):
                found.setdefault(getattr(option, "rich_help_panel", None) or "Options", []).append(option)
        return dict(sorted(found.items(), key=lambda panel: panel[0] == "Options"))


def _entry(option: Any) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    names = ", ".join([*option.opts, *option.secondary_opts])
    metavar = "" if getattr(option, "is_flag", False) else option.metavar or "TEXT"
    more = "…" if getattr(option, "multiple", False) else ""
    needed = " required" if option.required else ""
    yield Text.assemble((names, "bold cyan"), " ", (metavar + more, "yellow"), (needed, "red"))
    variable = f" Or in the environment: {option.envvar}." if getattr(option, "envvar", None) else ""
    yield Padding(Text((getattr(option, "help", "") or "") + variable), (0, 0, 0, _INDENT))
