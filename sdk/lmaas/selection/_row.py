"""A candidate as the comparison sees it: a figure for each metric, and limits that figures must keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmaas.evidence import Evidence
from lmaas.selection._metrics import METRICS
from lmaas.selection._preferences import Preferences


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate: what is known of it by metric. What is not known is missing."""

    name: str
    cells: Mapping[str, Evidence]

    def value(self, preferences: Preferences, *, missing: float = 0.0) -> float:
        """Return the additive score, 0 to 1; a metric that is not known is worth `missing`."""
        weights = preferences.weights
        return sum(
            weights[criterion.metric]
            * (
                criterion.value(self.cells[criterion.metric].value)
                if criterion.metric in self.cells
                else missing
            )
            for criterion in preferences.criteria
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
