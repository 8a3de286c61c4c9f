"""The four scores of a candidate, each with the parts that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmaas.evidence import Evidence
from lmaas.selection._metrics import METRICS, Score
from lmaas.selection._preferences import DEFAULTS, Criterion, Preferences
from lmaas.selection._row import Row


@dataclass(frozen=True, slots=True)
class Part:
    """What one metric adds to a score.

    Attributes:
        metric: Its name.
        share: How much of the score it is, 0 to 1.
        value: What its figure is worth, 0 to 1; 0 where it is not known.
        evidence: The figure; None if it is not known.
    """

    metric: str
    share: float
    value: float
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class Explained:
    """One of the four scores.

    Attributes:
        score: Which.
        value: 0 to 1.
        weight: How much of the whole it is, 0 to 1; one that does not count is shown all the same.
        parts: What it is made of.
    """

    score: Score
    value: float
    weight: float
    parts: tuple[Part, ...]


def four_scores(row: Row, preferences: Preferences) -> tuple[Explained, ...]:
    """Return all four scores, those that weigh nothing by the default criteria.

    Source: the additive model of `Criterion`; with the scores' own weights they add up to `Row.value`.
    """
    return tuple(_explain(score, row, preferences) for score in Score)


def _explain(score: Score, row: Row, preferences: Preferences) -> Explained:
    weights = preferences.weights
    counted = [c for c in preferences.criteria if METRICS[c.metric].score is score and weights[c.metric] > 0]
    weight = sum(weights[criterion.metric] for criterion in counted)
    if counted:
        shares = {criterion.metric: weights[criterion.metric] / weight for criterion in counted}
    else:
        counted = _defaults(score, preferences.criteria)
        total = sum(
            criterion.weight or 0.0 for criterion in DEFAULTS if METRICS[criterion.metric].score is score
        )
        shares = {c.metric: (c.weight or 0.0) / total for c in DEFAULTS if METRICS[c.metric].score is score}
    parts = tuple(_part(criterion, shares[criterion.metric], row) for criterion in counted)
    return Explained(score, sum(part.share * part.value for part in parts), weight, parts)


def _defaults(score: Score, own: Sequence[Criterion]) -> list[Criterion]:
    """Return the default criteria of a score, with the user's anchors where there are some."""
    anchored = {criterion.metric: criterion for criterion in own}
    return [anchored.get(c.metric, c) for c in DEFAULTS if METRICS[c.metric].score is score]


def _part(criterion: Criterion, share: float, row: Row) -> Part:
    evidence = row.cells.get(criterion.metric)
    value = 0.0 if evidence is None else criterion.value(evidence.value)
    return Part(criterion.metric, share, value, evidence)
