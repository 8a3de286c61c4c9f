"""Finds in the text what a model says it took from there. A model's own offsets are never asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lmaas.tasks._result import Span
from lmaas.tasks._text import folded

_LETTER = re.compile(r"[^\W_\u3400-\u4dbf\u4e00-\u9fff]")


class Locator:
    """Gives the places of quotes in one text, each place once.

    A quote that stands in the text several times is given its places in order: the first mention the first
    one, and so on; mentions beyond the last place get none.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._folded: tuple[str, list[int]] | None = None
        self._taken: set[tuple[str, int, int]] = set()

    def find(self, quote: str, role: str = "") -> Span | None:
        """Return the next free place of `quote`, None if there is none.

        Places that have it letter by letter go before those that have it up to case, width and blanks.
        `role` says what the quote is taken as: the same place may be taken once a role.
        """
        for span in self._places(quote):
            place = (role, span.start, span.end)
            if place not in self._taken:
                self._taken.add(place)
                return span
        return None

    def all(self, quote: str) -> list[Span]:
        """Return every place of `quote`, taken or not."""
        return list(self._places(quote))

    def _places(self, quote: str) -> Iterator[Span]:
        quote = quote.strip()
        if not quote:
            return
        exact = list(self._exact(quote))
        yield from exact or self._similar(quote)

    def _exact(self, quote: str) -> Iterator[Span]:
        for start in _occurrences(self._text, quote):
            yield Span(start, start + len(quote), quote)

    def _similar(self, quote: str) -> Iterator[Span]:
        self._folded = self._folded or folded(self._text)
        plain, origins = self._folded
        wanted = folded(quote)[0]
        for start in _occurrences(plain, wanted):
            first, last = origins[start], origins[start + len(wanted) - 1]
            yield Span(first, last + 1, self._text[first : last + 1], is_exact=False)


def _occurrences(text: str, part: str) -> Iterator[int]:
    """Yield where `part` begins in `text`; "art" does not stand in "party"."""
    start = text.find(part)
    while start >= 0:
        end = start + len(part)
        if not (_joins(text, start) or _joins(text, end)):
            yield start
        start = text.find(part, start + 1)


def _joins(text: str, index: int) -> bool:
    """Tell whether the characters on both sides of `index` belong to one word."""
    return bool(
        0 < index < len(text) and _LETTER.fullmatch(text[index - 1]) and _LETTER.fullmatch(text[index])
    )
