"""Candidates side by side: who passes, in which order, how surely, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmaas.selection._assessment import Assessed
from lmaas.selection._preferences import Preferences
from lmaas.selection._robustness import Robustness, robustness
from lmaas.selection._row import Domination, dominations
from lmaas.selection._rules import Status


@dataclass(frozen=True, slots=True)
class Comparison:
    """What there is to decide from.

    Attributes:
        ranked: Those that pass, by score, best first; equal scores by name.
        missed: The others, nearest misses first.
        robust: How often each won.
        dominated: Of those that pass, which another one dominates.
    """

    ranked: tuple[Assessed, ...]
    missed: tuple[Assessed, ...]
    robust: Robustness
    dominated: Mapping[str, Domination]


def compare(assessed: Sequence[Assessed], preferences: Preferences, *, draws: int, seed: int) -> Comparison:
    """Rank candidates by their score, which no other candidate can change, and count how often each wins."""
    ranked = sorted((one for one in assessed if one.passes), key=lambda one: _by_score(one, preferences))
    missed = sorted((one for one in assessed if not one.passes), key=lambda one: _by_misses(one, preferences))
    drawn = sorted((one.row for one in assessed if one.is_drawn), key=lambda row: row.name)
    return Comparison(
        tuple(ranked),
        tuple(missed),
        robustness(drawn, preferences, draws=draws, seed=seed),
        dominations([one.row for one in ranked], preferences),
    )


def _by_score(one: Assessed, preferences: Preferences) -> tuple[float, str]:
    return -one.row.value(preferences), one.row.name


def _by_misses(one: Assessed, preferences: Preferences) -> tuple[int, float, str]:
    """Order by rules not passed; broken or not checked is the same, so that hiding a figure gains nothing."""
    missed = sum(check.status is not Status.PASS for check in one.checks)
    return missed, *_by_score(one, preferences)
