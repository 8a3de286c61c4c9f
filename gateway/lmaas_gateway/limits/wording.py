"""What callers are told when a limit leaves no room: which one it is, and when to come again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lmaas_gateway.errors import GatewayError, QuotaExceededError, RateLimitError
from lmaas_gateway.limits.headlines import duration

if TYPE_CHECKING:
    from lmaas_gateway.limits.rules import Limit, Metric

_NANOS_PER_DOLLAR = 10**9
_PERIODS = {"minute": "a minute", "day": "a day", "month": "a month"}
_NOUNS: dict[Metric, str] = {
    "requests": "requests",
    "tokens": "tokens",
    "money": "US dollars",
    "calls_in_flight": "calls at once",
    "tokens_in_flight": "tokens at once",
}


def name_of(limit: Limit) -> str:
    """Name a limit in one line, as `key k1: 60 requests a minute`."""
    about = "" if limit.models == "*" else f" of models {limit.models}"
    return f"{limit.subject_kind} {limit.subject}: {_amount(limit, limit.amount)}{about}"


def refuse(limit: Limit, cost: int, left: int, wait_s: float) -> GatewayError:
    """Say which limit leaves no room, what is left of it and when to come again."""
    noun = _NOUNS[limit.metric]
    error = QuotaExceededError if limit.metric == "money" else RateLimitError
    text = f"The limit of {name_of(limit)} leaves no room for this call"
    if math.isinf(wait_s):
        refused = error(
            f"{text}, which alone may need {_number(limit, cost)} {noun}; ask for less, or have it raised."
        )
        refused.should_retry = False
        return refused
    wait = max(1, math.ceil(wait_s))
    return error(
        f"{text}: it may need {_number(limit, cost)}, left are {_number(limit, max(0, left))}. "
        f"Retry in {duration(wait).decode()}.",
        retry_after_s=wait,
    )


def _amount(limit: Limit, amount: int) -> str:
    period = "" if limit.period == "none" else " " + _PERIODS[limit.period]
    return f"{_number(limit, amount)} {_NOUNS[limit.metric]}{period}"


def _number(limit: Limit, amount: int) -> str:
    return f"{amount / _NANOS_PER_DOLLAR:.6g}" if limit.metric == "money" else str(amount)
