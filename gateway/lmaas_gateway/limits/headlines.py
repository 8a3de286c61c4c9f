"""What callers are told of their limits in the head of a reply, as OpenAI does."""

from __future__ import annotations

import math

_MINUTE = b"1m0s"


class Headline:
    """The headers that tell of one limit on requests or tokens; what does not change of them is made once.

    Source: OpenAI's guide to rate limits, "Rate limits in headers".

    Attributes:
        remaining: The name of the header that says what is left.
        limit: The header that says how much there is.
        reset: The header that says when all of it is there again; None where that must be asked.
    """

    __slots__ = ("limit", "remaining", "reset")

    def __init__(self, metric: str, amount: int, period: str) -> None:
        what = metric.encode()
        self.limit = (b"x-ratelimit-limit-" + what, b"%d" % amount)
        self.remaining = b"x-ratelimit-remaining-" + what
        name = b"x-ratelimit-reset-" + what
        # What has just been taken from is whole again a minute later.
        self.reset = (name, _MINUTE) if period == "minute" else None

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
