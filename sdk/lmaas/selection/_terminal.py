"""The report on a terminal, as wide as that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape as without_markup
from rich.padding import Padding
from rich.table import Table

from lmaas._shown import without_controls
from lmaas.selection._report import Section, opening_of, sections_of

if TYPE_CHECKING:
    from lmaas.selection._selection import Selection

_LONG = ("What the scores are made of", "Cost a month, in US dollars")


def show(selection: Selection, console: Console | None = None) -> None:
    """Write the report, but for the longest tables, which reports in files have."""
    console = console or Console()
    headline, *others = opening_of(selection)
    console.print(f"[bold]{_plain(headline)}[/bold]", highlight=False)
    for line in others:
        console.print(_plain(line), highlight=False)
    for section in sections_of(selection):
        if section.title not in _LONG:
            _show(section, console)
    console.print(
        "\nFigures with their sources, and costs line by line: --output report.html (or .md, .json)",
        highlight=False,
    )


def _show(section: Section, console: Console) -> None:
    console.print(f"\n[bold]{section.title}[/bold]", highlight=False)
    for sentence in section.sentences:
        console.print(Padding(_plain(sentence), (0, 2)), highlight=False)
    if section.rows:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for name in section.header:
            table.add_column(_plain(name), overflow="fold")
        for row in section.rows:
            table.add_row(*map(_plain, row))
        console.print(Padding(table, (0, 2)))


def _plain(text: str) -> str:
    """Show a text as it is: names and sources are others'."""
    return without_markup(without_controls(text))
