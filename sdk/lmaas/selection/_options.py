"""Every candidate as the result shows it: its place, its scores, and why it is not the answer."""

from __future__ import annotations

from lmaas.selection._answer import Answer
from lmaas.selection._assessment import Assessed
from lmaas.selection._comparison import Comparison
from lmaas.selection._metrics import METRICS
from lmaas.selection._preferences import Preferences
from lmaas.selection._row import Domination
from lmaas.selection._rules import Status
from lmaas.selection._scores import Explained, four_scores
from lmaas.selection._selection import Option


def options_of(comparison: Comparison, answer: Answer, preferences: Preferences) -> tuple[Option, ...]:
    """Return every candidate: those that pass by place, then the others, nearest misses first."""
    places = {one.row.name: place for place, one in enumerate(comparison.ranked, 1)}
    best = four_scores(comparison.ranked[0].row, preferences) if comparison.ranked else ()
    options = []
    for one in (*comparison.ranked, *comparison.missed):
        name = one.row.name
        scores = four_scores(one.row, preferences)
        dominated = comparison.dominated.get(name)
        options.append(
            Option(
                candidate=one.candidate,
                row=one.row,
                checks=one.checks,
                place=places.get(name),
                score=one.row.value(preferences),
                first=comparison.robust.first.get(name, 0.0),
                score_range=comparison.robust.scores.get(name),
                scores=scores,
                dominated=dominated,
                spending=one.spending,
                ease=one.ease,
                why_not=_why_not(one, answer, dominated, best, scores),
            )
        )
    return tuple(options)


def _why_not(
    one: Assessed,
    answer: Answer,
    dominated: Domination | None,
    best: tuple[Explained, ...],
    scores: tuple[Explained, ...],
) -> str:
    if not one.passes:
        return _broken(one)
    if one.row.name in answer.names:
        return ""
    if dominated is not None:
        better = ", ".join(METRICS[metric].label for metric in dominated.better_in)
        return f"{dominated.by} is as good in everything, and better in {better}"
    return _behind(best, scores)


def _broken(one: Assessed) -> str:
    fails = [check for check in one.checks if check.status is Status.FAIL]
    unknown = [check for check in one.checks if check.status is Status.UNKNOWN]
    parts = [f"fails “{check.rule}”: {check.reason}" for check in fails]
    parts += [f"unknown “{check.rule}”: {check.reason}" for check in unknown]
    return "; ".join(parts)


def _behind(best: tuple[Explained, ...], scores: tuple[Explained, ...]) -> str:
    """Say in which score it loses most, and what it has instead."""
    gaps = [(a.weight * (a.value - b.value), a, b) for a, b in zip(best, scores, strict=True)]
    _, ahead, behind = max(gaps, key=lambda gap: gap[0])
    gain, theirs, own = min(gaps, key=lambda gap: gap[0])
    said = f"behind in {behind.score.value} ({behind.value:.2f} against {ahead.value:.2f})"
    if gain < 0:
        said += (
            f", which its {own.score.value} ({own.value:.2f} against {theirs.value:.2f}) does not make up for"
        )
    return said
