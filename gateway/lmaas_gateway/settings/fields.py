"""What the groups of settings have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

if TYPE_CHECKING:
    from pydantic.config import JsonDict

FROZEN = ConfigDict(frozen=True, extra="forbid")
"""Of every group: what is not known is refused, and what was read stays as it is."""

FIXED: JsonDict = {"is_fixed": True}
"""Marks a setting that cannot change while the gateway runs."""


def split_names(value: Any) -> Any:
    """Take names with commas between them, as a variable has them, for a list."""
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )
