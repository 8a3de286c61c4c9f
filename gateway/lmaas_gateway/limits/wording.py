"""What callers are told of their limits: headers as OpenAI sends them, and refusals that name the limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lmaas_gateway.errors import GatewayError, QuotaExceededError, RateLimitError

if TYPE_CHECKING:
    from lmaas_gateway.limits.rules import Limit, Metric

_MINUTE = b"1m0s"
_NANOS_PER_DOLLAR = 10**9
_PERIODS = {"minute": "a minute", "day": "a day", "month": "a month"}
_NOUNS: dict[Metric, str] = {
    "requests": "requests",
    "tokens": "tokens",
    "money": "US dollars",
    "calls_in_flight": "calls at once",
    "tokens_in_flight": "tokens at once",
}


class Headline:
    """The headers that tell of one limit on requests or tokens; what does not change of them is made once.

    Source: OpenAI's guide to rate limits, "Rate limits in headers".

    Attributes:
        remaining: The name of the header that says what is left.
        limit: The header that says how much there is.
        reset: The header that says when all of it is there again; None where that must be asked.
    """

    __slots__ = ("limit", "remaining", "reset")

    def __init__(self, limit: Limit) -> None:
        what = limit.metric.encode()
        self.limit = (b"x-ratelimit-limit-" + what, b"%d" % limit.amount)
        self.remaining = b"x-ratelimit-remaining-" + what
        name = b"x-ratelimit-reset-" + what
        # What has just been taken from is whole again a minute later.
        self.reset = (name, _MINUTE) if limit.period == "minute" else None

    def reset_in(self, seconds: float) -> tuple[bytes, bytes]:
        """Write the header that says when all of it is there again."""
        return self.remaining.replace(b"remaining", b"reset"), duration(seconds)


def duration(seconds: float) -> bytes:
    """Write a duration as OpenAI does: `120ms`, `1s`, `6m0s`, `1h0m0s`."""
    if seconds < 1:
        return b"%dms" % math.ceil(seconds * 1e3)
    whole = math.ceil(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, rest)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest


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
