"""What was counted of one model and replica, as one flat row of numbers that can be subtracted."""

from __future__ import annotations

from array import array
from itertools import accumulate
from operator import add, sub
from typing import TYPE_CHECKING

from lmaas_gateway.live.view import Flow, Spread
from lmaas_gateway.metrics import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmaas_gateway.metrics.names import Spec
    from lmaas_gateway.tallies import Tallies

Place = tuple[str, str]
"""A model and one of its replicas; no replica where none was asked."""

CODES = ("2xx", "4xx", "429", "499", "5xx")
_COUNTERS = (
    names.INTERRUPTED,
    names.PROMPT_TOKENS,
    names.CACHED_TOKENS,
    names.COMPLETION_TOKENS,
    names.REJECTIONS,
    names.REPLICA_CPU,
)
HISTOGRAMS = (names.FIRST_TOKEN, names.INTER_TOKEN, names.DURATION, names.QUEUE_WAIT)


def _lay_out() -> tuple[dict[Spec, slice], int]:
    """Give each histogram its place behind the counters: its buckets, then their sum."""
    places, width = {}, len(CODES) + len(_COUNTERS)
    for spec in HISTOGRAMS:
        places[spec] = slice(width, width := width + len(spec.buckets) + 2)
    return places, width


_PLACES, _WIDTH = _lay_out()
_COLUMNS = {spec: len(CODES) + index for index, spec in enumerate(_COUNTERS)}


class Sums:
    """What was counted of something: since the start, or in a window.

    Args:
        row: The numbers, as they are laid out here.
    """

    __slots__ = ("row",)

    def __init__(self, row: array[float] | None = None) -> None:
        self.row = array("d", bytes(8 * _WIDTH)) if row is None else row

    def __sub__(self, older: Sums) -> Sums:
        return Sums(array("d", map(sub, self.row, older.row)))

    def __add__(self, other: Sums) -> Sums:
        return Sums(array("d", map(add, self.row, other.row)))

    def count(self, spec: Spec) -> int:
        """Give a counter of whole things."""
        return int(self.row[_COLUMNS[spec]])

    def seconds(self, spec: Spec) -> float:
        """Give a counter of time."""
        return self.row[_COLUMNS[spec]]

    def code(self, name: str) -> int:
        """Give the calls with a class of status."""
        return int(self.row[CODES.index(name)])

    @property
    def errors(self) -> int:
        """Give the calls that failed by no fault of the client."""
        return self.code("5xx") + self.count(names.INTERRUPTED)

    @property
    def calls(self) -> int:
        """Give all calls."""
        return int(sum(self.row[: len(CODES)]))

    def spread(self, spec: Spec) -> Spread:
        """Describe a histogram."""
        *counts, total = self.row[_PLACES[spec]]
        count = int(sum(counts))
        if not count:
            return Spread()
        p50, p90, p95, p99 = (quantile(spec.buckets, counts, share) for share in (0.5, 0.9, 0.95, 0.99))
        return Spread(count, total / count, p50, p90, p95, p99, tuple(map(int, counts)))

    def quantile(self, spec: Spec, share: float) -> float:
        """Give one percentile of a histogram, in seconds; 0 if it is empty."""
        return quantile(spec.buckets, self.row[_PLACES[spec]][:-1], share)

    def flow(self, window_s: int) -> Flow:
        """Describe what came to an end in a window."""
        calls, seconds = self.calls, max(1, window_s)
        prompt_tokens, completion_tokens = (
            self.count(names.PROMPT_TOKENS),
            self.count(names.COMPLETION_TOKENS),
        )
        return Flow(
            calls=calls,
            calls_per_s=calls / seconds,
            codes={name: self.code(name) for name in CODES if self.code(name)},
            interrupted=self.count(names.INTERRUPTED),
            error_rate=self.errors / calls if calls else 0.0,
            prompt_tokens=prompt_tokens,
            cached_tokens=self.count(names.CACHED_TOKENS),
            completion_tokens=completion_tokens,
            prompt_tokens_per_s=prompt_tokens / seconds,
            completion_tokens_per_s=completion_tokens / seconds,
            ttft=self.spread(names.FIRST_TOKEN),
            inter_token=self.spread(names.INTER_TOKEN),
            duration=self.spread(names.DURATION),
        )


def quantile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float:
    """Find a quantile of a histogram, in the unit of its bounds; 0 if it is empty.

    Args:
        bounds: Upper bounds, ascending, without infinity.
        counts: Observations of each bucket; one more than bounds.
        share: Which, from 0 to 1.

    Source: Prometheus, `histogram_quantile`: linear inside the bucket; what lies beyond the last bound is
    said to be at it.
    """
    rank = share * sum(counts)
    if not rank:
        return 0.0
    low = below = 0.0
    for bound, count, reached in zip(bounds, counts, accumulate(counts), strict=False):
        if reached >= rank:
            return low + (bound - low) * (rank - below) / count
        low, below = bound, reached
    return bounds[-1]


def read_sums(tallies: Tallies) -> dict[Place, Sums]:
    """Gather what was counted, by model and replica."""
    found: dict[Place, Sums] = {}

    def row(place: Place) -> array[float]:
        return found.setdefault(place, Sums()).row

    for (model, replica, _, code), calls in tallies.counters.get(names.CALLS.name, {}).items():
        row((model, replica))[CODES.index(class_of(code))] += calls.value
    for spec in _COUNTERS:
        for labels, counter in tallies.counters.get(spec.name, {}).items():
            row(_place_of(spec, labels))[_COLUMNS[spec]] += counter.value
    for spec in HISTOGRAMS:
        for labels, histogram in tallies.histograms.get(spec.name, {}).items():
            numbers, start = row(_place_of(spec, labels)), _PLACES[spec].start
            for index, number in enumerate(_flat(histogram.counts, histogram.total), start):
                numbers[index] += number
    return found


def _flat(counts: Sequence[int], total: float) -> Iterator[float]:
    yield from counts
    yield total


def _place_of(spec: Spec, labels: Sequence[str]) -> Place:
    return labels[0], labels[1] if "replica" in spec.labels else ""


def class_of(code: str) -> str:
    """Give the class of a status, as `CODES` names it."""
    if code in CODES:
        return code
    return f"{code[:1]}xx" if f"{code[:1]}xx" in CODES else "5xx"
