"""What was counted lately, over windows of a minute to months, in a few kilobytes.

Each long window is kept in sixty bars, so the short one beside it, a twelfth, is five of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.watching.burn import PAIRS, Counts

if TYPE_CHECKING:
    from collections.abc import Mapping

_BARS = 60


class Bars(msgspec.Struct):
    """Sums that only grow, as they stood at the end of each bar: a window's counts are a difference of two.

    Attributes:
        bar_s: How long a bar is, in seconds.
        newest: The number of the bar that is being filled, from the epoch.
        bad: The sums of bad events: that before the oldest bar, then at the end of each, the newest last.
        total: The sums of all events, likewise.
    """

    bar_s: float
    newest: int
    bad: list[float]
    total: list[float]

    @classmethod
    def over(cls, window_s: float, at_s: float) -> Bars:
        """Begin to keep a window."""
        bar_s = window_s / _BARS
        return cls(bar_s, int(at_s // bar_s), [0.0, 0.0], [0.0, 0.0])

    def add(self, counts: Counts, at_s: float) -> None:
        """Add events of this moment. A clock that went back adds to the newest bar."""
        number = int(at_s // self.bar_s)
        # The window's bars, one that it has a part of, and the sum before that.
        kept = _BARS + 2
        for _ in range(min(number - self.newest, kept)):
            self.bad.append(self.bad[-1])
            self.total.append(self.total[-1])
        self.newest = max(self.newest, number)
        del self.bad[:-kept], self.total[:-kept]
        self.bad[-1] += counts.bad
        self.total[-1] += counts.total

    def counts(self, window_s: float, at_s: float) -> Counts:
        """Give the events of the last `window_s`, and of the rest of the bar in which it begins."""
        before = int((at_s - window_s) // self.bar_s) - 1
        place = len(self.bad) - 1 - (self.newest - before)
        if place >= len(self.bad):
            return Counts()
        place = max(place, 0)
        return Counts(self.bad[-1] - self.bad[place], self.total[-1] - self.total[place])


class History:
    """The counts of one objective.

    Args:
        window_s: The objective's own window.
        at_s: Now, in Unix seconds.
        kept: What an earlier process kept, by the length of the window.
    """

    def __init__(self, window_s: float, at_s: float, kept: Mapping[float, Bars] | None = None) -> None:
        windows = sorted({*(pair.long_s for pair in PAIRS), window_s})
        self._bars = {length: (kept or {}).get(length) or Bars.over(length, at_s) for length in windows}

    def add(self, counts: Counts, at_s: float) -> None:
        """Add events of this moment."""
        for bars in self._bars.values():
            bars.add(counts, at_s)

    def counts(self, window_s: float, at_s: float) -> Counts:
        """Give the events of the last `window_s`, from the shortest window kept that holds it."""
        length = next((length for length in self._bars if length >= window_s), max(self._bars))
        return self._bars[length].counts(window_s, at_s)

    def kept(self) -> dict[float, Bars]:
        """Give what is to be kept for a process that comes after this one."""
        return self._bars


class Growth:
    """Turns sums that only grow, but for beginning anew, into what came on top.

    Args:
        last: What an earlier process read last.
    """

    def __init__(self, last: Mapping[str, Counts] | None = None) -> None:
        self._last = dict(last or {})

    def since_last(self, key: str, now: Counts) -> Counts:
        """Give what has come since the last reading of `key`; of a first one, nothing.

        A sum that is less than it was has begun anew with its process: all of it is new.
        """
        last = self._last.get(key)
        self._last[key] = now
        if last is None:
            return Counts()
        if now.total < last.total or now.bad < last.bad:
            return now
        return Counts(now.bad - last.bad, now.total - last.total)

    def kept(self) -> dict[str, Counts]:
        """Give what is to be kept for a process that comes after this one."""
        return self._last
