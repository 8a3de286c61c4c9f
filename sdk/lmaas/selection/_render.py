"""The report as plain text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill
from typing import TYPE_CHECKING

from lmaas._shown import as_markdown, markdown_row
from lmaas.selection._report import Section, opening_of, sections_of

if TYPE_CHECKING:
    from lmaas.selection._selection import Selection


def text_of(selection: Selection) -> str:
    """Return the report in plain text, tables with columns as wide as their cells."""
    parts = ["\n".join(opening_of(selection))]
    parts += ["\n".join(_text(section)) for section in sections_of(selection)]
    return "\n\n".join(parts) + "\n"


def _text(section: Section) -> Iterator[str]:
    yield section.title
    yield from (
        fill(sentence, 100, initial_indent="  ", subsequent_indent="  ") for sentence in section.sentences
    )
    if section.rows:
        lines = [section.header, *section.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(section.header))]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            yield f"  {'  '.join(cells)}".rstrip()


def markdown_of(selection: Selection) -> str:
    """Return the report in Markdown."""
    headline, *others = opening_of(selection)
    parts = [f"# {as_markdown(headline)}", *(as_markdown(line) for line in others)]
    for section in sections_of(selection):
        parts.append(f"## {section.title}")
        if section.sentences:
            parts.append("\n".join(f"- {as_markdown(sentence)}" for sentence in section.sentences))
        if section.rows:
            parts.append(_table(section))
    return "\n\n".join(parts) + "\n"


def _table(section: Section) -> str:
    header, *rows = map(markdown_row, (section.header, *section.rows))
    return "\n".join((header, f"|{'---|' * len(section.header)}", *rows))
