"""READ FIRST: `select` is the order of work of choosing, each step a module of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from lmaas.errors import ConfigurationError
from lmaas.evidence import Evidence, Grade
from lmaas.measuring import SLO, Workload
from lmaas.selection._answer import answer_of
from lmaas.selection._assessment import Assessed, assess, limits_of
from lmaas.selection._candidate import Candidate
from lmaas.selection._comparison import Comparison, compare
from lmaas.selection._options import options_of
from lmaas.selection._preferences import Preferences
from lmaas.selection._rules import Rules
from lmaas.selection._selection import Selection
from lmaas.selection._sensitivity import Sensitivity, flips, tornado
from lmaas.selection._task import TaskSpec

_SHELF_LIFE_DAYS: Final = {Grade.A: 30, Grade.B: 7, Grade.C: 30, Grade.D: 90, Grade.E: 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the answer is computed.

    Attributes:
        draws: How many times weights and figures are drawn.
        seed: Of the draws: the same seed and inputs give the same answer.
        today: The day of the answer; left out: today, UTC.
        command: What does it again, for reports.
    """

    draws: int = 10_000
    seed: int = 1
    today: date | None = None
    command: str = "select(…) with the same arguments"

    def __post_init__(self) -> None:
        if self.draws < 1 or self.seed < 0:
            raise ConfigurationError("options: draws are 1 or more, and a seed is not below 0")


def select(
    task: TaskSpec,
    workload: Workload,
    slo: SLO | None,
    rules: Rules,
    preferences: Preferences,
    candidates: Sequence[Candidate],
    evidence: Mapping[str, Iterable[Evidence]],
    options: Options = Options(),
) -> Selection:
    """Choose among candidates on evidence, and say why.

    Args:
        task: What the model is to do, and how well at least.
        workload: What it is asked, how often.
        slo: Limits that latencies and availability must keep; None takes the workload's own.
        rules: What a candidate must have.
        preferences: Criteria, anchors, weights.
        candidates: What there is to choose from.
        evidence: What is known of each, by the candidate's name. Of several figures of a metric the one with
            the best grade counts, then the newest.
        options: Draws, seed, day.

    Raises:
        ConfigurationError: no candidate, two of the same name, or evidence of somebody else.
    """
    _check_names(candidates, evidence)
    limits = limits_of(task, slo or workload.slo, rules)
    assessed = [
        assess(candidate, workload, rules, limits, evidence.get(candidate.name, ()))
        for candidate in candidates
    ]
    comparison = compare(assessed, preferences, draws=options.draws, seed=options.seed)
    why = _sensitivity(comparison, preferences)
    answer = answer_of(comparison, preferences, why)
    today = options.today or datetime.now(UTC).date()
    return Selection(
        answer=answer,
        options=options_of(comparison, answer, preferences),
        task=task,
        workload=workload,
        preferences=preferences,
        limits=limits,
        flips=why.flips,
        swings=why.swings,
        robustness=comparison.robust,
        today=today,
        expires=_expires(comparison.ranked[:2], preferences, today),
        command=options.command,
        seed=options.seed,
    )


def _check_names(candidates: Sequence[Candidate], evidence: Mapping[str, Iterable[Evidence]]) -> None:
    names = [candidate.name for candidate in candidates]
    if not names:
        raise ConfigurationError("select: there is no candidate; give at least one")
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"select: two candidates are called {name!r}; give each a name of its own"
            )
    for name in evidence:
        if name not in names:
            raise ConfigurationError(
                f"select: there is evidence of {name!r}, which is no candidate; there are {', '.join(names)}"
            )


def _sensitivity(comparison: Comparison, preferences: Preferences) -> Sensitivity:
    """Ask what would change the order of those that pass; with fewer than two, nothing would."""
    if len(comparison.ranked) < 2:
        return Sensitivity()
    first, *others = (one.row for one in comparison.ranked)
    wins = comparison.robust.first
    rival = max(others, key=lambda row: wins[row.name])
    return Sensitivity(
        flips(first, others, preferences),
        tornado(first, rival, preferences, comparison.robust.weight_spread),
    )


def _expires(leaders: Sequence[Assessed], preferences: Preferences, today: date) -> date:
    """Return when the first figure of the leaders gets too old; today if one already is.

    Figures of an unknown day get old as if they were of today.
    """
    ends = [
        (evidence.as_of or today) + timedelta(days=_SHELF_LIFE_DAYS[evidence.grade])
        for one in leaders
        for metric, evidence in one.row.cells.items()
        if preferences.weights.get(metric, 0.0) > 0
    ]
    return max(today, min(ends, default=today + timedelta(days=min(_SHELF_LIFE_DAYS.values()))))
