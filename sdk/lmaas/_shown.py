"""Texts of others, such as names of models, made fit to be shown: none may become markup or move a cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, which could move the cursor, rename the window or worse; tab and newline may stay."""
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""Not with a backslash: some renderers of Markdown know it before punctuation of Markdown only."""
_MARKS: Final = re.compile(r"([\\`*\[\]|~])")
_OUTER_UNDERSCORE: Final = re.compile(r"(?<![a-zA-Z0-9])_|_(?![a-zA-Z0-9])")  # within a word it is no mark
_BEGINS_BLOCK: Final = re.compile(r"^(\d*)([-+.)=#])")


def without_controls(text: str) -> str:
    """Leave out what could move the cursor, rename the window or worse."""
    return _CONTROLS.sub("", text)


def as_markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line.

    Source: CommonMark 0.31, sections 2.4 and 2.5.
    """
    return _BEGINS_BLOCK.sub(r"\1\\\2", _inline(text))


def markdown_row(cells: Iterable[str]) -> str:
    """Return a line of a Markdown table, whose cells hold no more than a line of text each.

    Source: GitHub Flavored Markdown, tables.
    """
    return f"| {' | '.join(map(_inline, cells))} |"


def _inline(text: str) -> str:
    line = " ".join(without_controls(text).split())
    for character, entity in _ENTITIES.items():
        line = line.replace(character, entity)
    return _OUTER_UNDERSCORE.sub(r"\\_", _MARKS.sub(r"\\\1", line))
