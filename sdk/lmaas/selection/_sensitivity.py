"""What would change the answer: the smallest changes that flip it, and what moves the lead how far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lmaas.selection._metrics import METRICS
from lmaas.selection._preferences import Criterion, Preferences
from lmaas.selection._row import Row
from lmaas.selection._uncertainty import interval_of


@dataclass(frozen=True, slots=True)
class Flip:
    """A change that makes `rival` the winner.

    Attributes:
        kind: What changes: the weight of a metric, or a figure of the candidate `of`.
        metric: Of which metric.
        of: Whose figure; "" for a weight.
        now: The weight or figure as it is.
        then: The one from which on `rival` leads.
        rival: Who would.
    """

    kind: Literal["weight", "figure"]
    metric: str
    of: str
    now: float
    then: float
    rival: str

    @property
    def change(self) -> float:
        """How big the change is beside what there is."""
        return abs(self.then - self.now) / max(abs(self.now), 1e-9)

    @property
    def text(self) -> str:
        """The change in words."""
        metric = METRICS[self.metric]
        if self.kind == "weight":
            return f"{self.rival} leads if {metric.label} weighs {self.then:.0%} instead of {self.now:.0%}"
        change = f"{metric.format(self.then)} instead of {metric.format(self.now)}"
        return f"{self.rival} leads if {metric.label} of {self.of} is {change}"


@dataclass(frozen=True, slots=True)
class Swing:
    """How the lead of the first over the second moves with one uncertainty; `low <= high`, 0 is a tie."""

    label: str
    metric: str
    of: str
    low: float
    high: float

    @property
    def width(self) -> float:
        """How far it moves the lead."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What the answer depends on.

    Attributes:
        flips: The changes, one at a time, that make another candidate lead, smallest first.
        swings: How far each uncertainty moves the lead of the first over the second, widest first.
    """

    flips: tuple[Flip, ...] = ()
    swings: tuple[Swing, ...] = ()


def flips(winner: Row, rivals: Sequence[Row], preferences: Preferences) -> tuple[Flip, ...]:
    """Return the changes, one at a time, that make a rival lead, smallest first.

    Source: sensitivity of additive models, Triantaphyllou and Sanchez, Decision Sciences 28 (1997): the lead
    is linear in each weight and in the value of each figure.
    """
    found = [flip for rival in rivals for flip in _flips(winner, rival, preferences)]
    return tuple(sorted(found, key=lambda flip: (flip.change, flip.rival, flip.kind, flip.metric)))


def _flips(winner: Row, rival: Row, preferences: Preferences) -> Iterator[Flip]:
    weights = preferences.weights
    gaps = _gaps(winner, rival, preferences)
    lead = sum(weights[metric] * gap for metric, gap in gaps.items())
    for criterion in preferences.criteria:
        metric, weight = criterion.metric, weights[criterion.metric]
        then = _weight_of_tie(gaps[metric], lead, weight)
        if then is not None:
            yield Flip("weight", metric, "", weight, then, rival.name)
        for row, step in ((winner, -1.0), (rival, 1.0)):
            if metric in row.cells and weight > 0:
                now = row.cells[metric].value
                figure = criterion.figure(criterion.value(now) + step * lead / weight)
                if figure is not None and figure != now:
                    yield Flip("figure", metric, row.name, now, figure, rival.name)


def _gaps(winner: Row, rival: Row, preferences: Preferences) -> dict[str, float]:
    return {c.metric: _worth(winner, c) - _worth(rival, c) for c in preferences.criteria}


def _worth(row: Row, criterion: Criterion) -> float:
    return criterion.value(row.cells[criterion.metric].value) if criterion.metric in row.cells else 0.0


def _weight_of_tie(gap: float, lead: float, weight: float) -> float | None:
    """Return the weight at which the lead is 0, the others keeping their proportions; None if none is."""
    if weight >= 1:
        return None
    rest = (lead - weight * gap) / (1 - weight)
    if rest == gap:
        return None
    then = rest / (rest - gap)
    return then if 0 <= then <= 1 else None


def tornado(
    winner: Row, rival: Row, preferences: Preferences, weight_spread: Mapping[str, float]
) -> tuple[Swing, ...]:
    """Return how far each figure's interval and each weight's spread moves the lead, widest first.

    Source: tornado diagrams, Howard, Decision Analysis: Practice and Promise, Management Science 34 (1988).
    """
    weights = preferences.weights
    gaps = _gaps(winner, rival, preferences)
    lead = sum(weights[metric] * gap for metric, gap in gaps.items())
    swings = []
    for criterion in preferences.criteria:
        metric, weight = criterion.metric, weights[criterion.metric]
        label = METRICS[metric].label
        for row, sign in ((winner, 1.0), (rival, -1.0)):
            if metric in row.cells:
                interval = interval_of(row.cells[metric])
                base = lead - sign * weight * _worth(row, criterion)
                ends = [base + sign * weight * criterion.value(x) for x in (interval.low, interval.high)]
                swings.append(Swing(f"{label} of {row.name}", metric, row.name, min(ends), max(ends)))
        rest = (lead - weight * gaps[metric]) / (1 - weight) if weight < 1 else 0.0
        shift = 1.96 * weight_spread.get(metric, 0.0)
        ends = [w * gaps[metric] + (1 - w) * rest for w in (max(weight - shift, 0), min(weight + shift, 1))]
        swings.append(Swing(f"weight of {label}", metric, "", min(ends), max(ends)))
    return tuple(sorted((s for s in swings if s.width > 0), key=lambda s: (-s.width, s.label)))
