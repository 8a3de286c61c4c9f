"""How sure a score is: paired bootstrap over the examples, and Wilson's interval where that has no width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lmaas.evaluation._metric import Array, Metric
from lmaas.evidence import share_interval

CONFIDENCE: Final = 0.95
_NO_WIDTH: Final = 1e-12
_CELLS: Final = 4_000_000
"""How many counts are held at once: 32 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one score is than another on the same examples, with its 95 % interval.

    Attributes:
        value: Above 0 where the first is better, also for errors, of which less is better.
        p_value: Two-sided; how often a difference so far from 0 the other way is drawn, and never below
            what the signs of so few differences could show.
    """

    value: float
    low: float
    high: float
    p_value: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval does not hold 0, and there are examples enough to say so."""
        return (self.low > 0 or self.high < 0) and self.p_value <= 1 - CONFIDENCE


class Resampler:
    """Draws the same examples again for every candidate and metric, so that differences are paired.

    Args:
        examples: How many there are.
        draws: How many draws; 2,000 settle the ends of an interval to about a hundredth of its width.
        seed: The same seed draws the same.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, percentile intervals; Koehn,
    "Statistical Significance Tests for Machine Translation Evaluation", 2004, for paired draws.
    """

    def __init__(self, examples: int, *, draws: int = 2000, seed: int = 0) -> None:
        self._examples = examples
        self._draws = draws
        self._seed = seed

    def scores(self, metric: Metric, rows: Array) -> Array:
        """Return the score of each draw."""
        return np.concatenate([metric.score(counts @ rows) for counts in self._counts()])

    def _counts(self) -> Iterator[Array]:
        random = np.random.default_rng(self._seed)
        step = max(1, _CELLS // self._examples)
        for start in range(0, self._draws, step):
            size = min(step, self._draws - start)
            picks = random.integers(self._examples, size=(size, self._examples))
            flat = picks + np.arange(size)[:, None] * self._examples
            counts = np.bincount(flat.ravel(), minlength=size * self._examples)
            yield counts.reshape(size, self._examples).astype(np.float64)


def interval_of(metric: Metric, rows: Array, scores: Array) -> Interval:
    """Return the score of all examples with its interval.

    Where every draw has the same score, such as when all answers are right, the examples do not tell how
    sure it is; the interval is then Wilson's for as many yes-or-no answers, which is never too narrow.
    """
    value = float(metric.score(rows.sum(0)))
    low, high = _percentiles(scores)
    if high - low < _NO_WIDTH:
        span = metric.top - metric.bottom
        low, high = share_interval((value - metric.bottom) / span, len(rows))
        low, high = metric.bottom + low * span, metric.bottom + high * span
    return Interval(value, min(low, value), max(high, value))


def difference_of(
    metric: Metric, values: tuple[float, float], scores: tuple[Array, Array], examples: int
) -> Difference:
    """Return how much better the first candidate is than the second.

    Where every draw differs by the same, as with a single example, the interval is made of Wilson's for the
    examples that speak for the first, and for those that speak for the second.
    """
    sign = 1.0 if metric.is_higher_better else -1.0
    drawn = sign * (scores[0] - scores[1])
    low, high = _percentiles(drawn)
    value = sign * (values[0] - values[1])
    if high - low < _NO_WIDTH:
        span = metric.top - metric.bottom
        low, high = (span * end for end in _wilson_difference(value / span, examples))
    return Difference(value, min(low, value), max(high, value), _p_value(drawn, examples))


def _wilson_difference(share: float, n: int) -> tuple[float, float]:
    first, second = share_interval(share, n), share_interval(-share, n)
    return first[0] - second[1], first[1] - second[0]


def _percentiles(scores: Array) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return float(low), float(high)


def _p_value(drawn: Array, examples: int) -> float:
    sides: Sequence[float] = [float((drawn <= 0).mean()), float((drawn >= 0).mean())]
    # So many draws cannot tell less than one in as many; n signs that all agree are one chance in 2^(n - 1).
    return min(1.0, max(2 * min(sides), 1 / len(drawn), 2.0 ** (1 - examples)))
