"""The last minutes, second by second: what had been counted by then. A window is a difference of two rows."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from lmaas_gateway.live.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lmaas_gateway.live.sums import Place

KEPT_S = 900
"""How many seconds back it can be looked."""


class Track:
    """What had been counted of one thing at the end of each second in which that changed.

    Args:
        second: That before its first.
        base: What had been counted by then.
    """

    def __init__(self, second: int, base: Sums) -> None:
        self._steps: deque[tuple[int, Sums]] = deque([(second, base)])

    def add(self, second: int, sums: Sums) -> None:
        """Take note of what has been counted by the end of `second`, if it is more than before."""
        steps = self._steps
        if sums.row != steps[-1][1].row:
            steps.append((second, sums))
        while len(steps) > 1 and steps[1][0] <= second - KEPT_S:
            steps.popleft()

    def since(self, second: int) -> Sums:
        """Give what was counted after the end of `second`."""
        base = self._steps[0][1]
        for at, sums in reversed(self._steps):
            if at <= second:
                base = sums
                break
        return self._steps[-1][1] - base

    def by_second(self, after: int) -> Iterator[tuple[int, Sums]]:
        """Give what was counted in each second after `after` in which there was anything, oldest first."""
        before: Sums | None = None
        for at, sums in self._steps:
            if before is not None and at > after:
                yield at, sums - before
            before = sums


class History:
    """The tracks of all models and replicas, and of all together.

    Args:
        second: The first one.
        sums: What had been counted by then.
    """

    def __init__(self, second: int, sums: Mapping[Place, Sums]) -> None:
        self.first = self.second = second
        self._tracks = {place: Track(second, one) for place, one in sums.items()}
        self.total = Track(second, total(sums.values()))
        self.loads: dict[int, tuple[int, int]] = {}

    def add(self, second: int, sums: Mapping[Place, Sums], load: tuple[int, int]) -> None:
        """Take note of a second that has ended.

        Args:
            second: Which one, in Unix seconds.
            sums: What has been counted by its end, since the start.
            load: Calls at replicas and calls that wait, at its end.
        """
        before, self.second = self.second, second
        for place, one in sums.items():
            if place not in self._tracks:
                self._tracks[place] = Track(before, Sums())
            self._tracks[place].add(second, one)
        self.total.add(second, total(sums.values()))
        self.loads[second] = load
        for old in [at for at in self.loads if at <= second - KEPT_S]:
            del self.loads[old]

    def since(self, second: int) -> dict[Place, Sums]:
        """Give what was counted after the end of `second`, by model and replica."""
        return {place: track.since(second) for place, track in self._tracks.items()}

    def covered_s(self, window_s: int) -> int:
        """Tell how much of a window that ends now is known."""
        return min(window_s, self.second - self.first)


def total(sums: Iterable[Sums]) -> Sums:
    """Add up."""
    return sum(sums, Sums())
