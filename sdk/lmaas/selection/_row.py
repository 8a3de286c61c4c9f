"""A candidate as the comparison sees it: a figure for each metric, and limits that figures must keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lmaas.evidence import Evidence
from lmaas.selection._metrics import METRICS
from lmaas.selection._preferences import Preferences


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate as it is compared.

    Attributes:
        name: The candidate's.
        cells: What is known of it, by metric. What is not known is missing.
        limits: What it must keep.
        at_best: Of figures that take the worst for what is not known, what they would be with the best.
    """

    name: str
    cells: Mapping[str, Evidence]
    limits: tuple[Limit, ...] = ()
    at_best: Mapping[str, float] = field(default_factory=dict)

    @property
    def keeps_limits(self) -> bool:
        """Whether its figures keep all of them; one that is not known keeps none."""
        return all(limit.is_kept_by(self) for limit in self.limits)

    def value(self, preferences: Preferences) -> float:
        """Return the additive score, 0 to 1; a metric that is not known is worth nothing."""
        return _score(self._figures, preferences, missing=0.0)

    def value_at_best(self, preferences: Preferences) -> float:
        """Return the score that it would have if all that is not known were as good as can be."""
        return _score({**self._figures, **self.at_best}, preferences, missing=1.0)

    def lacks(self, preferences: Preferences) -> tuple[str, ...]:
        """Return the criteria that weigh something and of which nothing is known, or not all."""
        return tuple(
            metric
            for metric, weight in preferences.weights.items()
            if weight > 0 and (metric not in self.cells or metric in self.at_best)
        )

    @property
    def _figures(self) -> dict[str, float]:
        return {metric: evidence.value for metric, evidence in self.cells.items()}


def _score(figures: Mapping[str, float], preferences: Preferences, *, missing: float) -> float:
    weights = preferences.weights
    return sum(
        weights[one.metric] * (one.value(figures[one.metric]) if one.metric in figures else missing)
        for one in preferences.criteria
    )


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on a metric, in the metric's own direction: at most a time, at least a quality."""

    metric: str
    bound: float

    @property
    def text(self) -> str:
        """The limit in words."""
        metric = METRICS[self.metric]
        way = "at most" if metric.is_lower_better else "at least"
        return f"{metric.label} {way} {metric.format(self.bound)}"

    def is_kept_by(self, row: Row) -> bool:
        """Tell whether the row's figure keeps it; one that is not known does not."""
        told = row.cells.get(self.metric)
        return told is not None and METRICS[self.metric].keeps(told.value, self.bound)


@dataclass(frozen=True, slots=True)
class Domination:
    """`by` is at least as good as `name` in every criterion, and better in those named."""

    name: str
    by: str
    better_in: tuple[str, ...]


def dominations(rows: Sequence[Row], preferences: Preferences) -> dict[str, Domination]:
    """Return which rows another one dominates, the best such one; the rest are the Pareto front.

    A figure that is not known is worse than any that is.

    Source: Pareto dominance, Ehrgott, Multicriteria Optimization (2005), definition 2.1.
    """
    metrics = [criterion.metric for criterion in preferences.criteria]
    by_score = sorted(rows, key=lambda row: (-row.value(preferences), row.name))
    merits = {row.name: [_merit(row, metric) for metric in metrics] for row in rows}
    found: dict[str, Domination] = {}
    for place, row in enumerate(by_score):
        mine = merits[row.name]
        for other in by_score[: place + 1] + by_score[place + 1 :]:
            theirs = merits[other.name]
            if all(b >= a for a, b in zip(mine, theirs, strict=True)) and mine != theirs:
                better = tuple(m for m, a, b in zip(metrics, mine, theirs, strict=True) if b > a)
                found[row.name] = Domination(row.name, other.name, better)
                break
    return found


def _merit(row: Row, metric: str) -> float:
    if metric not in row.cells:
        return float("-inf")
    figure = row.cells[metric].value
    return -figure if METRICS[metric].is_lower_better else figure
