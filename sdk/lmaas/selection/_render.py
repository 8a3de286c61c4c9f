"""The report as plain text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from re import sub
from textwrap import fill
from typing import TYPE_CHECKING

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
    parts = [f"# {_cell(headline)}", *(_cell(line) for line in others)]
    for section in sections_of(selection):
        parts.append(f"## {section.title}")
        if section.sentences:
            parts.append("\n".join(f"- {_cell(sentence)}" for sentence in section.sentences))
        if section.rows:
            parts.append(_table(section))
    return "\n\n".join(parts) + "\n"


def _table(section: Section) -> str:
    lines = [section.header, ("---",) * len(section.header), *section.rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Names and sources are others' text: none may end a cell or a line, or become markup."""
    text = " ".join(text.split())
    for character in "\\`*[]<>|~&":
        text = text.replace(character, f"\\{character}")
    return sub(r"(?<![a-zA-Z0-9])_|_(?![a-zA-Z0-9])", r"\\_", text)  # within a word it is none
