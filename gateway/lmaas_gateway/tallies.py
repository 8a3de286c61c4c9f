"""Counts of one process, cheap to make, and their sum over several processes.

Counting is an addition to a plain number, without a lock or a look-up of labels each time; the numbers
become Prometheus' metrics only when somebody asks (docs/decisions/0005-own-tallies.md).
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Labels = tuple[str, ...]


class Counter(msgspec.Struct):
    """A number that only grows."""

    value: float = 0.0


class Histogram(msgspec.Struct):
    """How many observations fell at or under each bound, and their sum.

    Attributes:
        bounds: Upper bounds, ascending, without infinity.
        counts: Observations of each bucket, not cumulated; the last one has no bound.
    """

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def over(cls, bounds: Sequence[float]) -> Histogram:
        """Make an empty one."""
        return cls(tuple(bounds), [0] * (len(bounds) + 1))

    def observe(self, value: float) -> None:
        """Take one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tallies(msgspec.Struct):
    """All counts of one process, by metric name and label values.

    Attributes:
        gauges: What it had of something when the counts were published; gone with the process.
    """

    counters: dict[str, dict[Labels, Counter]] = {}
    histograms: dict[str, dict[Labels, Histogram]] = {}
    gauges: dict[str, dict[Labels, float]] = {}

    def counter(self, name: str, labels: Labels) -> Counter:
        """Find a counter, or begin it at zero."""
        return self.counters.setdefault(name, {}).setdefault(labels, Counter())

    def histogram(self, name: str, labels: Labels, bounds: Sequence[float]) -> Histogram:
        """Find a histogram, or begin it empty."""
        series = self.histograms.setdefault(name, {})
        if labels not in series:
            series[labels] = Histogram.over(bounds)
        return series[labels]

    def add(self, other: Tallies) -> None:
        """Add the counts of another process to these."""
        for name, values in other.gauges.items():
            ours_now = self.gauges.setdefault(name, {})
            for labels, value in values.items():
                ours_now[labels] = ours_now.get(labels, 0.0) + value
        for name, counters in other.counters.items():
            for labels, counter in counters.items():
                self.counter(name, labels).value += counter.value
        for name, histograms in other.histograms.items():
            for labels, theirs in histograms.items():
                ours = self.histogram(name, labels, theirs.bounds)
                ours.counts = [a + b for a, b in zip(ours.counts, theirs.counts, strict=True)]
                ours.total += theirs.total


class TallyFolder:
    """A folder where the workers of one gateway leave their counts for each other.

    A worker that ended leaves its file behind, so that what it counted stays counted.

    Args:
        folder: Shared by the workers, empty at their start.
        owner: Tells what `forget_gauges` is to find.
    """

    def __init__(self, folder: Path, owner: str = "") -> None:
        self._folder = folder
        self._own = folder / f"{owner}-{uuid.uuid4().hex}.tallies"

    def publish(self, tallies: Tallies) -> None:
        """Leave this process's counts, in one step."""
        _write(self._own, tallies)

    def others(self) -> Iterator[Tallies]:
        """Read what the other processes left last."""
        for path in self._folder.glob("*.tallies"):
            if path != self._own:
                yield msgspec.msgpack.decode(path.read_bytes(), type=Tallies)


def forget_gauges(folder: Path, owner: str) -> None:
    """Let what a process that ended had count for nothing; what it counted stays counted."""
    for path in folder.glob(f"{owner}-*.tallies"):
        tallies = msgspec.msgpack.decode(path.read_bytes(), type=Tallies)
        if tallies.gauges:
            tallies.gauges = {}
            _write(path, tallies)


def _write(path: Path, tallies: Tallies) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.msgpack.encode(tallies))
    draft.replace(path)
