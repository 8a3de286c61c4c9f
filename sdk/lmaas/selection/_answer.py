"""The answer: one winner, or two and what decides between them, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lmaas.evidence import Grade
from lmaas.selection._comparison import Comparison
from lmaas.selection._metrics import METRICS
from lmaas.selection._preferences import Preferences
from lmaas.selection._row import Row
from lmaas.selection._sensitivity import Sensitivity

CONFIDENT: Final = 0.9
"""The share of draws that a winner must win to be called one."""


class Kind(StrEnum):
    """What was found."""

    WINNER = "winner"
    TWO = "two"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to take.

    Attributes:
        kind: One winner, two that are too close to tell, or none that passes the rules.
        names: The winner; or the two, the better one first; or the nearest misses.
        confidence: The share of draws that the first one won, 0 to 1, by no luck of the noise.
        is_confident: Whether there is one winner that won nearly all draws, and no candidate with something
            unknown could overtake it.
        decide_by: Of two: what decides between them.
        overtakers: Candidates that would lead if what is not known of them were as good as can be.
        rests_on: On what the answer rests, in words.
        headline: The answer in one sentence.
    """

    kind: Kind
    names: tuple[str, ...]
    confidence: float
    is_confident: bool
    decide_by: str
    overtakers: tuple[str, ...]
    rests_on: str
    headline: str


def answer_of(comparison: Comparison, preferences: Preferences, why: Sensitivity) -> Answer:
    """Return the answer.

    The winner is the one with the highest score, which no further candidate can change; the draws only say
    whether that is sure enough. `CONFIDENT` is what SMAA calls the acceptability of rank 1.
    """
    kind, names = _find(comparison)
    ranked = comparison.ranked
    confidence = comparison.robust.confidence[names[0]] if ranked else 0.0
    overtakers = _overtakers(comparison, preferences)
    doubt = _doubt(confidence, overtakers)
    decide_by = _what_decides(why, names) if kind is Kind.TWO else ""
    return Answer(
        kind=kind,
        names=names,
        confidence=confidence,
        is_confident=kind is Kind.WINNER and not doubt,
        decide_by=decide_by,
        overtakers=overtakers,
        rests_on=_rests_on(grades_of(ranked[0].row, preferences)) if ranked else "Rests on the rules alone.",
        headline=_headline(kind, names, confidence, decide_by, doubt),
    )


def _find(comparison: Comparison) -> tuple[Kind, tuple[str, ...]]:
    ranked, robust = comparison.ranked, comparison.robust
    if not ranked:
        return Kind.NONE, tuple(one.row.name for one in comparison.missed[:3])
    winner = ranked[0].row.name
    if len(ranked) == 1 or robust.confidence[winner] >= CONFIDENT:
        return Kind.WINNER, (winner,)
    rival = max(
        ranked[1:], key=lambda one: robust.first[one.row.name]
    )  # of several, max takes the better placed
    return Kind.TWO, (winner, rival.row.name)


def _overtakers(comparison: Comparison, preferences: Preferences) -> tuple[str, ...]:
    """Return whose score would reach the first one's if what is not known were as good as can be."""
    if not comparison.ranked:
        return ()
    first, *others = comparison.ranked
    open_ones = [one for one in others if one.row.lacks(preferences)]
    open_ones += [one for one in comparison.missed if not one.fails]
    to_beat = first.row.value(preferences)
    return tuple(one.row.name for one in open_ones if one.row.value_at_best(preferences) >= to_beat)


def _doubt(confidence: float, overtakers: Sequence[str]) -> str:
    """Return why a winner is not sure; "" if it is."""
    if overtakers:
        verb = "lacks" if len(overtakers) == 1 else "lack"
        return f"{', '.join(overtakers)} {verb} data and could be better"
    return "" if confidence >= CONFIDENT else "its own figures may break a limit"


def _what_decides(why: Sensitivity, pair: Sequence[str]) -> str:
    """Return what the user can settle to tell two candidates apart: what moves the lead most.

    Figures are measured, weights are made up one's mind about. The swings of all weights count together.
    """
    figures = [swing for swing in why.swings if swing.of]
    weights = [swing for swing in why.swings if not swing.of]
    spread = sum(swing.width**2 for swing in weights)
    if figures and figures[0].width ** 2 >= spread:
        swing = figures[0]
        return f"measuring {METRICS[swing.metric].label} of {swing.of}, which is known least for its weight"
    flip = next((f for f in why.flips if f.kind == "weight" and f.rival == pair[1]), None)
    if flip is not None:
        more = "more" if flip.then > flip.now else "less"
        return (
            f"what matters to you: {pair[1]} leads once {METRICS[flip.metric].label} weighs {more} than "
            f"{flip.then:.0%} (now {flip.now:.0%})"
        )
    return "neither: they are as good as each other; take the one that is easier for you to get"


def grades_of(row: Row, preferences: Preferences) -> dict[Grade | None, float]:
    """Return how much of the weight rests on evidence of each grade; None is for what is not known."""
    shares: dict[Grade | None, float] = {}
    for metric, weight in preferences.weights.items():
        grade = row.cells[metric].grade if metric in row.cells else None
        shares[grade] = shares.get(grade, 0.0) + weight
    return shares


def _rests_on(shares: Mapping[Grade | None, float]) -> str:
    """Say on what an answer rests, the weakest first where it matters."""
    weak = sum(shares.get(grade, 0.0) for grade in (Grade.D, Grade.E))
    parts = [
        f"{share:.0%} {grade.meaning if grade else 'not known'}{f' ({grade})' if grade else ''}"
        for grade, share in sorted(shares.items(), key=lambda item: (-item[1], item[0] or "F"))
        if share >= 0.005
    ]
    start = "Rests on formulas and assumptions" if weak > 0.5 else "Rests on"
    joint = ": " if weak > 0.5 else " "
    return f"{start}{joint}{', '.join(parts)}."


def _headline(kind: Kind, names: Sequence[str], confidence: float, decide_by: str, provisional: str) -> str:
    """Say the answer in one sentence; `provisional` is why a winner is not sure, "" if it is."""
    if kind is Kind.NONE:
        nearest = f"; nearest misses: {', '.join(names)}" if names else ""
        return f"None passes the rules{nearest}."
    if kind is Kind.TWO:
        return f"{names[0]} or {names[1]}: decide by {decide_by}."
    sure = f"first in {confidence:.0%} of the draws"
    return (
        f"Take {names[0]}, provisionally: {sure}, but {provisional}."
        if provisional
        else f"Take {names[0]}: {sure}."
    )
