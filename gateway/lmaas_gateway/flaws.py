"""What is counted of replies that were looked at: one list for rows, metrics and answers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class FlawCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many replies were looked at, and what was seen of them.

    Attributes:
        checked: Whole replies that were looked at.
        truncated: Those whose tokens ran out.
        refused: Those that decline what was asked.
        empty: Those with neither text nor a function's call.
        repeating: Those that go round in circles.
        with_schema: Those that had to be JSON, or call functions; `schema_failed` is a part of them.
        schema_failed: Those that are not what their schema asks for.
        with_language: Those whose language shows, as their prompt's does; `language_drift` is a part of them.
        language_drift: Those in another language than their prompt, which spoke of no language.
    """

    checked: int = 0
    truncated: int = 0
    refused: int = 0
    empty: int = 0
    repeating: int = 0
    with_schema: int = 0
    schema_failed: int = 0
    with_language: int = 0
    language_drift: int = 0

    def counts(self) -> dict[str, int]:
        """Give them by their names, without what else a row has."""
        return {name: getattr(self, name) for name in FlawCounts.__struct_fields__}

    def plus(self, other: FlawCounts) -> FlawCounts:
        """Add them up."""
        others = other.counts()
        return FlawCounts(**{name: count + others[name] for name, count in self.counts().items()})


FLAWS: Mapping[str, str] = MappingProxyType(
    {
        "truncated": "checked",
        "refused": "checked",
        "empty": "checked",
        "repeating": "checked",
        "schema_failed": "with_schema",
        "language_drift": "with_language",
    }
)
"""Each flaw by its count, and the count of the replies that could have had it."""
