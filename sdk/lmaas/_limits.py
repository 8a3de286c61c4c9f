"""Reads what a server says of its limits: which one was met, and by how much."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_REMAINING: Final = "x-ratelimit-remaining-"

_ALLOWED: Final = re.compile(r"(?:maximum (?:context|model) length|max_model_len)(?: is| of)?[\s=(]*(\d+)")
# The first of these that is there tells most: a total, else the prompt alone.
_REQUESTED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:for a total of|resulted in|you requested) (?:at least )?(\d+) (?:input )?tokens",
        r"contains (?:at least )?(\d+) (?:input )?tokens",
        r"[Ii]nput length \((\d+)\)",
        r"max_tokens=(\d+) cannot",
        r"prompt \(?length \(?(\d+)",
    )
)


def is_context_overflow(message: str) -> bool:
    """Tell whether `message` says that a prompt does not fit a model's context, as vLLM and OpenAI put it."""
    is_about_context = "maximum context length" in message or "maximum model length" in message
    has_numbers = "prompt length" in message or "max_tokens=" in message
    return is_about_context or (has_numbers and "max_model_len" in message)


def context_numbers(message: str) -> tuple[int | None, int | None]:
    """Return how many tokens fit and how many there would have been, None for what is not said."""
    allowed = _ALLOWED.search(message)
    requested = next((found for pattern in _REQUESTED if (found := pattern.search(message))), None)
    return _number(allowed), _number(requested)


def limit_name(fault: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return the name of the limit that a 429 speaks of.

    It is the fault's `limit`, else OpenAI's `type` of "requests" or "tokens", else the one of the
    x-ratelimit headers of which nothing remains.
    """
    limit = fault.get("limit")
    if isinstance(limit, str) and limit:
        return limit
    if fault.get("type") in ("requests", "tokens", "images", "insufficient_quota"):
        return str(fault["type"])
    used_up = (
        name.lower().removeprefix(_REMAINING)
        for name, left in headers.items()
        if name.lower().startswith(_REMAINING) and left.strip() == "0"
    )
    return next(used_up, None)


def _number(found: re.Match[str] | None) -> int | None:
    return None if found is None else int(found[1])
