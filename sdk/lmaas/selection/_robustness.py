"""How often each candidate wins when weights and figures vary as much as they are uncertain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

from lmaas.errors import ConfigurationError
from lmaas.selection._metrics import METRICS
from lmaas.selection._preferences import Criterion, Preferences
from lmaas.selection._row import Limit, Row
from lmaas.selection._uncertainty import Interval, interval_of

try:
    import numpy as np
except ImportError:
    raise ConfigurationError("numpy is not installed; run: pip install 'lmaas[choose]'") from None

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Draws = NDArray[np.float32]

_CONCENTRATION: Final = {"firm": 400.0, "rough": 60.0}
"""Of the Dirichlet distribution: a weight of 0.25 has a standard deviation of 0.022 or 0.055."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """What the draws came to.

    Attributes:
        first: The share of draws that each candidate won.
        confidence: The share of draws that each won both with the figures drawn and, at the same weights,
            with the figures as they were told: what wins by luck of the noise alone is not counted.
        nobody: The share in which no candidate kept all limits.
        scores: The middle 90 % of each candidate's score.
        weight_spread: Standard deviation of each weight.
        draws: How many there were.
    """

    first: Mapping[str, float]
    confidence: Mapping[str, float]
    nobody: float
    scores: Mapping[str, tuple[float, float]]
    weight_spread: Mapping[str, float]
    draws: int


def robustness(rows: Sequence[Row], preferences: Preferences, *, draws: int, seed: int) -> Robustness:
    """Draw weights and figures `draws` times and count who wins.

    A candidate wins a draw if its score is the highest of those that keep every limit in that draw; a tie is
    shared. Each candidate has random numbers of its own, by its name, so that neither the order of candidates
    nor a further one changes what the others draw.

    Source: SMAA-2, Lahdelma and Salminen, Operations Research 49 (2001): rank acceptability, here of rank 1.
    """
    weights = _weights(preferences, draws, seed)
    scores = np.empty((len(rows), draws), np.float32)
    for index, row in enumerate(rows):
        scores[index] = _scores(row, preferences, weights, _Normals(row.name, seed))
    wins = _wins(scores)
    both = wins * _wins(_without_noise(rows, preferences, weights))
    spread = weights.std(axis=1, dtype=np.float64)
    return Robustness(
        _shares(rows, wins),
        _shares(rows, both),
        1.0 - float(wins.sum(dtype=np.float64)) / draws,
        {row.name: _middle(line) for row, line in zip(rows, scores, strict=True)},
        {c.metric: float(sd) for c, sd in zip(preferences.criteria, spread, strict=True)},
        draws,
    )


def _weights(preferences: Preferences, draws: int, seed: int) -> Draws:
    """Return weights for each criterion and draw.

    Source: the Dirichlet distribution has the stated weights as its mean; with all parameters 1 it is uniform
    over all mixtures, which is SMAA's model of no preferences.
    """
    generator = np.random.default_rng([seed, crc32(b"weights")])
    stated = np.array(list(preferences.weights.values()))
    concentration = _CONCENTRATION.get(preferences.certainty)
    alphas = np.ones_like(stated) if concentration is None else stated * concentration
    gammas = generator.standard_gamma(np.maximum(alphas, 1e-6)[:, None], (len(stated), draws))
    weights: Draws = (gammas / gammas.sum(axis=0)).astype(np.float32)
    return weights


class _Normals:
    """Standard normal draws of one candidate, made when a metric first asks for them.

    Source: antithetic variates, Hammersley and Morton (1956): each draw with its mirror image.
    """

    def __init__(self, name: str, seed: int) -> None:
        self._name, self._seed = name.encode(), seed
        self._made: dict[tuple[str, int], Draws] = {}

    def __call__(self, metric: str, draws: int) -> Draws:
        if (metric, draws) not in self._made:
            key = [self._seed, crc32(self._name), crc32(metric.encode())]
            generator = np.random.Generator(np.random.SFC64(key))
            half = generator.standard_normal((draws + 1) // 2, np.float32)
            self._made[metric, draws] = np.concatenate([half, -half])[:draws]
        return self._made[metric, draws]


def _scores(row: Row, preferences: Preferences, weights: Draws, normals: _Normals) -> Draws:
    draws = weights.shape[1]
    figures = {
        metric: interval_of(row.cells[metric])
        for metric in {*(c.metric for c in preferences.criteria), *(limit.metric for limit in row.limits)}
        if metric in row.cells
    }
    total = np.zeros(draws, np.float32)
    for criterion, weight in zip(preferences.criteria, weights, strict=True):
        if criterion.metric in figures:
            total += weight * _values(
                criterion, _drawn(figures[criterion.metric], criterion.metric, normals, draws)
            )
    for limit in row.limits:
        total[~_keeps(limit, figures, normals, draws)] = -np.inf
    return total


def _without_noise(rows: Sequence[Row], preferences: Preferences, weights: Draws) -> Draws:
    values = np.zeros((len(rows), len(weights)), np.float32)
    for index, row in enumerate(rows):
        for place, criterion in enumerate(preferences.criteria):
            if criterion.metric in row.cells:
                values[index, place] = criterion.value(row.cells[criterion.metric].value)
    scores: Draws = values @ weights
    for index, row in enumerate(rows):
        if not row.keeps_limits:
            scores[index] = -np.inf
    return scores


def _drawn(interval: Interval, metric: str, normals: _Normals, draws: int) -> Draws | float:
    if interval.low == interval.high:
        return float(interval.value)  # counts are whole numbers
    return interval.draw(normals(metric, draws))


def _values(criterion: Criterion, figures: Draws | float) -> Draws | float:
    if isinstance(figures, float):
        return criterion.value(figures)
    if criterion.between:
        at, worth = zip(*criterion.points, strict=True)
        bent: Draws = np.interp(figures, at, worth).astype(np.float32)
        return bent
    scaled = (figures - np.float32(criterion.worst)) / np.float32(criterion.best - criterion.worst)
    straight: Draws = np.clip(scaled, 0, 1, out=scaled)
    return straight


def _keeps(limit: Limit, figures: Mapping[str, Interval], normals: _Normals, draws: int) -> NDArray[np.bool_]:
    if limit.metric not in figures:
        return np.zeros(draws, np.bool_)
    drawn = np.asarray(_drawn(figures[limit.metric], limit.metric, normals, draws))
    kept = drawn <= limit.bound if METRICS[limit.metric].is_lower_better else drawn >= limit.bound
    return np.broadcast_to(kept, (draws,))


def _wins(scores: Draws) -> Draws:
    """Return 1 where a candidate won a draw, a part of it where several did, 0 elsewhere."""
    if not len(scores):
        return scores
    best = scores.max(axis=0)
    winners = (scores == best) & np.isfinite(best)
    wins: Draws = winners / np.maximum(winners.sum(axis=0), 1, dtype=np.float32)
    return wins


def _shares(rows: Sequence[Row], wins: Draws) -> dict[str, float]:
    return {
        row.name: float(share) for row, share in zip(rows, wins.mean(axis=1, dtype=np.float64), strict=True)
    }


def _middle(scores: Draws) -> tuple[float, float]:
    kept = scores[np.isfinite(scores)]
    if not kept.size:
        return 0.0, 0.0
    kept.sort()
    return float(kept[int(0.05 * (kept.size - 1))]), float(kept[int(0.95 * (kept.size - 1))])
