"""What the user wants: criteria with anchors and weights, and how sure of the weights the user is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from math import isfinite
from typing import Final, Literal, Self, TypeAlias

from lmaas.errors import ConfigurationError
from lmaas.evidence import range_of
from lmaas.selection._metrics import METRICS, Metric, Score, metric_of

Certainty: TypeAlias = Literal["firm", "rough", "open"]
"""How sure the stated weights are; "open": nobody stated any, and all mixtures are equally likely."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One metric with its value function: 1 from `best` on, 0 from `worst` on, straight lines between.

    Attributes:
        metric: Its name.
        best: The figure beyond which better is not worth more.
        worst: The figure that is worth nothing.
        weight: How much the swing from `worst` to `best` matters beside those of the others.
        worth_usd_per_month: In place of `weight`: what that swing is worth in money.
        between: Further points `(figure, value)`, where a straight line would say something else.

    Source: Keeney and Raiffa, Decisions with Multiple Objectives (1976), ch. 3: additive value with anchors
    that do not depend on the alternatives, and weights by swings or priced out.
    """

    metric: str
    best: float
    worst: float
    weight: float | None = None
    worth_usd_per_month: float | None = None
    between: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        metric = metric_of(self.metric)
        numbers = [self.weight or 0, self.worth_usd_per_month or 0, *chain.from_iterable(self.points)]
        is_finite = all(map(isfinite, numbers))
        problem = self._problem(metric) if is_finite else "anchors, points and weights are finite numbers"
        if problem:
            raise ConfigurationError(f"criterion {self.metric}: {problem}")

    def _problem(self, metric: Metric) -> str | None:
        if self.best == self.worst or (self.best < self.worst) is not metric.is_lower_better:
            way = "lower" if metric.is_lower_better else "higher"
            return f"best must be {way} than worst; they are {self.best:g} and {self.worst:g}"
        if (self.weight is None) == (self.worth_usd_per_month is None):
            return "give either weight or worth_usd_per_month"
        if (self.weight or self.worth_usd_per_month or 0) < 0:
            return "a weight is not below 0"
        return self._points_problem()

    def _points_problem(self) -> str | None:
        points, (least, most) = self.points, range_of(self.metric)
        if not all(least <= figure <= most for figure, _ in points):
            wanted = "shares from 0 to 1" if most == 1 else "not below 0"
            return f"anchors are {self.best:g} and {self.worst:g}; its figures are {wanted}"
        if any(a[0] >= b[0] for a, b in pairwise(points)):
            return "points between must lie between worst and best, each figure once"
        steps = [b[1] - a[1] for a, b in pairwise(points)]
        if not (all(step >= 0 for step in steps) or all(step <= 0 for step in steps)):
            return "points between must rise from 0 at worst to 1 at best"
        return None

    @cached_property
    def points(self) -> tuple[tuple[float, float], ...]:
        """All points of the value function, by rising figure."""
        return tuple(sorted([(self.worst, 0.0), *self.between, (self.best, 1.0)]))

    def value(self, figure: float) -> float:
        """Return what `figure` is worth, 0 to 1."""
        points = self.points
        if figure <= points[0][0]:
            return points[0][1]
        for (x0, v0), (x1, v1) in pairwise(points):
            if figure <= x1:
                return v0 + (v1 - v0) * (figure - x0) / (x1 - x0)
        return points[-1][1]

    def figure(self, value: float) -> float | None:
        """Return the figure that is worth `value`; None if none is, because it is not between 0 and 1."""
        for (x0, v0), (x1, v1) in pairwise(self.points):
            if min(v0, v1) <= value <= max(v0, v1) and v0 != v1:
                return x0 + (x1 - x0) * (value - v0) / (v1 - v0)
        return None


@dataclass(frozen=True)
class Preferences:
    """The criteria, each metric once, and how sure their weights are.

    Raises:
        ConfigurationError: no criterion, the same metric twice, weights that are all 0, or a worth in money
            without a criterion `usd_per_month` that has a weight.
    """

    criteria: tuple[Criterion, ...]
    certainty: Certainty = "rough"

    def __post_init__(self) -> None:
        names = [criterion.metric for criterion in self.criteria]
        if len(set(names)) < len(names) or not names:
            raise ConfigurationError("preferences: give at least one criterion, and each metric once")
        if sum(self._raw(criterion) for criterion in self.criteria) <= 0:
            raise ConfigurationError("preferences: all weights are 0; give one criterion a weight above 0")

    @cached_property
    def weights(self) -> Mapping[str, float]:
        """The weight of each metric; together 1."""
        raw = {criterion.metric: self._raw(criterion) for criterion in self.criteria}
        total = sum(raw.values())
        return {metric: weight / total for metric, weight in raw.items()}

    def _raw(self, criterion: Criterion) -> float:
        """Return a weight that is not yet scaled.

        Source: pricing out, Keeney and Raiffa (1976), ch. 3: a swing worth m dollars has m / (worst - best)
        of the weight of money's own swing.
        """
        if criterion.weight is not None:
            return criterion.weight
        for money in self.criteria:
            if money.metric == "usd_per_month" and money.weight:
                return money.weight * (criterion.worth_usd_per_month or 0) / (money.worst - money.best)
        raise ConfigurationError(
            f"criterion {criterion.metric}: worth_usd_per_month needs a criterion usd_per_month with a weight"
        )

    @classmethod
    def weighing(
        cls,
        weights: Mapping[Score, float],
        anchors: Iterable[Criterion] = (),
        certainty: Certainty = "rough",
    ) -> Self:
        """Return the default criteria, with a weight for each of the four scores.

        Args:
            weights: Of the scores; one that is missing weighs 0.
            anchors: Criteria that take the place of the default ones of the same metric, whose share of the
                score's weight they keep.
            certainty: How sure the weights are.

        Raises:
            ConfigurationError: an anchor is of a metric that no default criterion has.
        """
        own = {criterion.metric: criterion for criterion in anchors}
        if strange := set(own) - {criterion.metric for criterion in DEFAULTS}:
            raise ConfigurationError(
                f"preferences: no default criterion is of {', '.join(sorted(strange))}; give criteria instead"
            )
        criteria = []
        for default in DEFAULTS:
            chosen = own.get(default.metric, default)
            weight = weights.get(METRICS[default.metric].score, 0.0) * (default.weight or 0)
            criteria.append(
                Criterion(
                    metric=chosen.metric,
                    best=chosen.best,
                    worst=chosen.worst,
                    between=chosen.between,
                    weight=weight,
                )
            )
        return cls(tuple(criteria), certainty)


DEFAULTS: Final[tuple[Criterion, ...]] = (
    Criterion(metric="quality", best=1.0, worst=0.5, weight=0.4),
    Criterion(metric="ttft_p95_s", best=0.3, worst=2.0, weight=0.2),
    Criterion(metric="e2e_p95_s", best=2.0, worst=20.0, weight=0.2),
    Criterion(metric="error_rate", best=0.0, worst=0.02, weight=0.2),
    Criterion(metric="headroom", best=4.0, worst=1.0, weight=0.5),
    Criterion(metric="goodput_slope", best=1.0, worst=0.0, weight=0.3),
    Criterion(metric="locations", best=4.0, worst=0.0, weight=0.2),
    Criterion(metric="ease_of_use", best=1.0, worst=0.0, weight=1.0),
    Criterion(metric="usd_per_month", best=0.0, worst=2000.0, weight=1.0),
)
"""Anchors and shares for who states none: an assumption, which every report shows as one."""
