"""Percentiles and shares with 95 % intervals. Needs numpy (`pip install 'lmaas[choose]'`).

Latencies of calls that come after one another are alike: a queue that is long now is long in a second. So
stretches of calls are drawn again, not single ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from lmaas.errors import ConfigurationError
from lmaas.evidence import share_interval
from lmaas.measuring._estimate import Distribution, Estimate

try:
    import numpy as np
except ImportError:
    message = "numpy is not installed; run `pip install 'lmaas[choose]'`."
    raise ConfigurationError(message) from None

LEVEL: Final = 0.95
DRAWS: Final = 1000
_ENDS: Final = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_SHARES: Final = (0.5, 0.9, 0.95, 0.99)
_LEAST: Final = 8
"""Of fewer calls an interval says nothing."""
_LEAST_DRAWS: Final = 200
_MOST_INDICES: Final = 20_000_000
"""Drawn calls of all draws together, held at once: 160 MB."""
_GAPS_A_DRAW: Final = 20_000_000
"""Weighted gaps that all draws together may look at: a bound on time and memory."""


class Resampling:
    """Draws the calls of a level again, in stretches, `DRAWS` times; less often where calls are very many.

    Args:
        counts: How many calls there are in each part of the data that was measured on its own.
        seed: Of randomness.

    Source: the moving-block bootstrap of Künsch (1989), stretches of n^(1/3) calls (Hall, Horowitz and Jing
        1995); parts measured at other times are drawn each for itself.
    """

    def __init__(self, counts: Sequence[int], seed: int = 0) -> None:
        source = np.random.default_rng(seed)
        offsets = np.cumsum([0, *counts[:-1]])
        self.n = sum(counts)
        draws = min(DRAWS, max(_LEAST_DRAWS, _MOST_INDICES // max(self.n, 1)))
        drawn = [_stretches(source, n, draws) + at for n, at in zip(counts, offsets, strict=True) if n]
        self._indices = np.concatenate(drawn, axis=1) if drawn else np.zeros((draws, 0), dtype=np.intp)

    def share(self, is_so: Sequence[bool], scale: float = 1.0) -> Estimate:
        """Return how many of the calls are so, times `scale`; for rates, `scale` is calls a second.

        Drawing again tells how far calls that are alike mislead, but knows nothing of what is rare: none in a
        hundred is none in every draw. So the interval is not narrower than that of calls that are not alike.
        """
        flags = np.asarray(is_so, dtype=float)
        if not self.n:
            return Estimate(0.0, None, None, 0)
        value = float(flags.mean()) * scale
        if self.n < _LEAST:
            return Estimate(value, None, None, self.n)
        low, high = share_interval(float(flags.mean()), self.n)
        again_low, again_high = np.quantile(flags[self._indices].mean(axis=1), _ENDS)
        # An end of 0 or 1 is a draw without any of the few: no sign that there are none.
        low = min(low, float(again_low) or low)
        high = max(high, float(again_high) if again_high < 1 else high)
        return Estimate(value, min(low * scale, value), max(high * scale, value), self.n)

    def mean(self, values: Sequence[float], scale: float = 1.0) -> Estimate:
        """Return the mean of one value a call, times `scale`."""
        array = np.asarray(values, dtype=float)
        if not self.n:
            return Estimate(0.0, None, None, 0)
        value = float(array.mean()) * scale
        if self.n < _LEAST:
            return Estimate(value, None, None, self.n)
        return _estimate(value, array[self._indices].mean(axis=1) * scale, self.n)

    def median(self, values: Sequence[float | None]) -> Estimate | None:
        """Return the median of one value a call, of the calls that have one; None if none has."""
        spread = self.distribution(values)
        return None if spread is None else spread.p50

    def distribution(self, values: Sequence[float | None]) -> Distribution | None:
        """Return mean and percentiles of one value a call, of the calls that have one; None if none has."""
        return self.pooled([() if value is None else (value,) for value in values])

    def pooled(self, values: Sequence[Sequence[float]]) -> Distribution | None:
        """Return mean and percentiles of all values of all calls together; None if there are none."""
        sizes = np.asarray([len(of_call) for of_call in values])
        total = int(sizes.sum())
        if not total:
            return None
        flat = np.concatenate([np.asarray(of_call, dtype=float) for of_call in values])
        order = np.argsort(flat, kind="stable")
        ordered, owner = flat[order], np.repeat(np.arange(len(values)), sizes)[order]
        figures = [float(flat.mean()), *(_quantile(ordered, share) for share in _SHARES)]
        n = int((sizes > 0).sum())
        if n < _LEAST:
            return Distribution(*(Estimate(figure, None, None, n) for figure in figures))
        draws = self._pooled_draws(ordered, owner)
        estimates = [_estimate(f, column, n) for f, column in zip(figures, draws.T, strict=True)]
        return Distribution(*estimates)

    def _pooled_draws(self, ordered: Any, owner: Any) -> Any:
        """Return mean and percentiles of each draw, a row a draw."""
        draws = min(DRAWS, max(100, _GAPS_A_DRAW // len(ordered)))
        rows = []
        for indices in self._indices[:draws]:
            weights = np.bincount(indices, minlength=self.n)[owner]
            reached = np.cumsum(weights)
            if not reached[-1]:
                continue
            ranks = np.maximum(np.ceil(np.asarray(_SHARES) * reached[-1]), 1)
            percentiles = ordered[np.searchsorted(reached, ranks)]
            rows.append([float(weights @ ordered) / reached[-1], *percentiles])
        return np.asarray(rows)


def _stretches(source: Any, n: int, draws: int = DRAWS) -> Any:
    length = max(1, round(n ** (1 / 3)))
    starts = source.integers(0, n, size=(draws, math.ceil(n / length)))
    indices = (starts[:, :, None] + np.arange(length)) % n  # the end goes on at the beginning
    return indices.reshape(draws, -1)[:, :n]


def _quantile(ordered: Any, share: float) -> float:
    """Return the smallest value that at least `share` of all do not exceed."""
    rank = max(math.ceil(share * len(ordered)), 1)
    return float(ordered[rank - 1])


def _estimate(value: float, draws: Any, n: int) -> Estimate:
    low, high = np.quantile(draws, _ENDS)
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the median of the differences of paired values, ours less theirs, with its interval."""
    differences = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    n = len(differences)
    if n < _LEAST:
        return Estimate(float(np.median(differences)) if n else 0.0, None, None, n)
    drawn = differences[_stretches(np.random.default_rng(0), n)]
    return _estimate(float(np.median(differences)), np.median(drawn, axis=1), n)
