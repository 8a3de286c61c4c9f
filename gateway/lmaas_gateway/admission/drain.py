"""How fast a pool gets through its calls, measured while some wait."""

from __future__ import annotations

import math

_MEMORY_S = 5.0
"""What was seen this long ago counts a third (1/e) of what is seen now."""

_MIN_COMPLETIONS = 3.0
"""Fewer tell nothing: no call is refused on them."""


class DrainRate:
    """Completions per second of a pool, a decaying mean.

    Only time in which calls wait is measured: at any other time the rate says how much was asked for, not how
    much could be done.
    """

    __slots__ = ("_completions", "_pending", "_sampled_s", "_time_s")

    def __init__(self) -> None:
        self._completions = 0.0
        self._time_s = 0.0
        self._pending = 0
        self._sampled_s = 0.0

    def begin(self, now_s: float) -> None:
        """Calls begin to wait."""
        self._pending = 0
        self._sampled_s = now_s

    def count(self) -> None:
        """Take note of a call that ended while others waited."""
        self._pending += 1

    def sample(self, now_s: float) -> None:
        """Add what was counted since the last sample, or since calls began to wait."""
        passed_s = now_s - self._sampled_s
        if passed_s <= 0:
            return
        kept = math.exp(-passed_s / _MEMORY_S)
        self._completions = self._completions * kept + self._pending
        self._time_s = self._time_s * kept + passed_s
        self._pending = 0
        self._sampled_s = now_s

    def wait_s(self, position: int) -> float | None:
        """Estimate how long the call at `position` waits, 1 being the next; None if nothing is known yet."""
        if self._completions < _MIN_COMPLETIONS:
            return None
        return position * self._time_s / self._completions
