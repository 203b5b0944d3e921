"""How `--help` looks: plain text, wrapped to the terminal and not where the docstrings break their lines.

Markdown would wrap too, but reading every option's text as Markdown takes an eighth of the time of `find --help`.
"""

from typing import TYPE_CHECKING, Any

from cyclopts.help.formatters import DefaultFormatter

if TYPE_CHECKING:  # rich is slow to import, and most commands print no help
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions


class WrappedHelp(DefaultFormatter):
    """cyclopts' help with each paragraph as one, and each option's text as one paragraph."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """Print one panel of options or commands."""
        for entry in panel.entries:
            _join_lines(entry.description)
        super().__call__(console, options, panel)

    def render_description(self, console: "Console", options: "ConsoleOptions", description: Any) -> None:
        """Print what the command does."""
        _join_lines(description)
        super().render_description(console, options, description)


def _join_lines(description: Any) -> None:
    text = getattr(description, "primary_renderable", None)
    if text is not None:
        text.plain = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.plain.split("\n\n"))
