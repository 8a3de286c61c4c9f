"""How far a figure may be from the truth: the interval of its evidence, widened where it is not measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import TYPE_CHECKING, Final

from lmaas.evidence import Evidence, Grade, share_interval
from lmaas.selection._metrics import METRICS, Family

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Draws = NDArray[numpy.float32]

_FACTORS: Final = {
    Family.TIME: {Grade.A: 1.1, Grade.B: 1.15, Grade.C: 1.5, Grade.D: 1.75, Grade.E: 3.0},
    Family.MONEY: {Grade.A: 1.0, Grade.B: 1.0, Grade.C: 1.05, Grade.D: 1.25, Grade.E: 2.0},
    Family.RATE: {Grade.A: 1.5, Grade.B: 1.5, Grade.C: 3.0, Grade.D: 4.0, Grade.E: 10.0},
}
"""A figure without an interval lies between itself divided and multiplied by this: judgement."""

_MARGINS: Final = {
    Family.SHARE: {Grade.A: 0.05, Grade.B: 0.05, Grade.C: 0.15, Grade.D: 0.2, Grade.E: 0.3},
    Family.POINTS: {Grade.A: 0.0, Grade.B: 0.0, Grade.C: 0.05, Grade.D: 0.1, Grade.E: 0.2},
}
"""The same for figures that are added to: a claimed quality says little about another task."""

_STRETCH: Final = {Grade.A: 1.0, Grade.B: 1.0, Grade.C: 1.5, Grade.D: 2.0, Grade.E: 3.0}
"""What the distance to an end that somebody stated is multiplied by."""

_SIGMAS: Final = 1.96
"""Standard deviations of the normal distribution on each side of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the truth lies with a chance of 95 %: `low <= value <= high`."""

    value: float
    low: float
    high: float
    is_ratio: bool

    def draw(self, normal: Draws) -> Draws | float:
        """Turn standard normal draws into draws of the figure; a plain number if there is nothing to vary.

        Source: the two-piece normal distribution, Wallis, Statistical Science 29 (2014), of the figure or,
        for what is multiplied rather than added to, of its logarithm.
        """
        import numpy as np  # noqa: PLC0415 - an extra, which `select` has asked for

        if self.low == self.high:
            return float(self.value)
        if self.is_ratio:
            below, above = log(self.value / self.low), log(self.high / self.value)
        else:
            below, above = self.value - self.low, self.high - self.value
        drawn: Draws = normal * np.float32(above / _SIGMAS)
        drawn += np.minimum(normal, np.float32(0)) * np.float32((below - above) / _SIGMAS)
        if self.is_ratio:
            return np.exp(drawn, out=drawn) * np.float32(self.value)
        drawn += np.float32(self.value)
        return drawn


def interval_of(evidence: Evidence) -> Interval:
    """Return the 95 % interval of a figure: its own, never narrower than its grade allows.

    Grades A and B keep an interval that was estimated. Those of C, D and E are stretched, since a stated
    interval is a claim as well; without an interval the widths of the metric's family apply, but for rates of
    events that were counted: their interval is the binomial one.
    """
    family = METRICS[evidence.metric].family
    if family is Family.RATE and evidence.n and evidence.low is None and evidence.high is None:
        low, high = share_interval(evidence.value, evidence.n)
        evidence = replace(evidence, low=low, high=high)
    if family in _MARGINS or min(evidence.value, 1 if evidence.low is None else evidence.low) <= 0:
        return _added(evidence, family)
    return _multiplied(evidence, family)


def _multiplied(evidence: Evidence, family: Family) -> Interval:
    value, grade = evidence.value, evidence.grade
    floor = _FACTORS[family][grade]
    down = _ratio(value, evidence.low, grade, floor)
    up = _ratio(evidence.high, value, grade, floor)
    return Interval(value, value / down, value * up, is_ratio=True)


def _ratio(upper: float | None, lower: float | None, grade: Grade, floor: float) -> float:
    if upper is None or lower is None:
        return floor
    stated = (upper / lower) ** _STRETCH[grade]
    return float(stated if grade <= Grade.B else max(stated, floor))


def _added(evidence: Evidence, family: Family) -> Interval:
    value, grade = evidence.value, evidence.grade
    margin = _MARGINS[family][grade] if family in _MARGINS else _margin_at_zero(evidence)
    below = _distance(evidence.low, value, grade, margin)
    above = _distance(evidence.high, value, grade, margin)
    low, high = value - below, value + above
    if family is not Family.POINTS:
        low = max(low, min(0.0, value))
    if family is Family.SHARE:
        high = min(high, max(1.0, value))
    return Interval(value, low, high, is_ratio=False)


def _margin_at_zero(evidence: Evidence) -> float:
    """Return how much may be where none was seen and nobody told of how many: 3 / 300.

    Source: the rule of three, Hanley and Lippman-Hand, JAMA 249 (1983).
    """
    return 3 / 300 * _STRETCH[evidence.grade]


def _distance(end: float | None, value: float, grade: Grade, margin: float) -> float:
    if end is None:
        return margin
    stated = abs(end - value) * _STRETCH[grade]
    return stated if grade <= Grade.B else max(stated, margin)
