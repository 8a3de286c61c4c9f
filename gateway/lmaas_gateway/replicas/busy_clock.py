"""A replica's time, shared out to the calls that it works on: a second with ten calls is a tenth for each.

The clock runs at the speed of one call's share, so a call's part is the difference of two readings: nothing
is done per call under way. In one process the parts of all calls add up to the time that the replica was
busy. Where several workers share a replica, each knows how many calls the others had at its own looks only,
at each of its own calls and once a second, and takes the mean of two: the sum is as true as that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class BusyClock:
    """The clock of one replica, as one process sees it.

    Args:
        clock: Monotonic nanoseconds.

    Attributes:
        share_ns: What a call has had that was there from the beginning on.
        busy_ns: What this process's calls have had together.
    """

    __slots__ = ("_at_ns", "_clock", "_others", "_taken_ns", "busy_ns", "share_ns")

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self._at_ns = clock()
        self._others = 0
        self.share_ns = 0
        self.busy_ns = 0
        self._taken_ns = 0

    def advance(self, own: int, others: int = 0) -> int:
        """Share out the time since the last look; give `share_ns`.

        Args:
            own: How many calls of this process the replica has worked on since then.
            others: How many calls of other processes it works on now.
        """
        now_ns = self._clock()
        if own:
            passed_ns = now_ns - self._at_ns
            if others or self._others:
                share_ns = 2 * passed_ns // (2 * own + others + self._others)
            else:
                share_ns = passed_ns // own
            self.share_ns += share_ns
            self.busy_ns += share_ns * own
        self._at_ns = now_ns
        self._others = others
        return self.share_ns

    def take_seconds(self) -> float:
        """Give the part of `busy_ns` that was not given yet, in seconds."""
        part_ns, self._taken_ns = self.busy_ns - self._taken_ns, self.busy_ns
        return part_ns / 1e9
