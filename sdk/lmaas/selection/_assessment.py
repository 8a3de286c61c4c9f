"""A candidate before it is compared to others: its figures, and every rule held against it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lmaas.evidence import Evidence
from lmaas.measuring import SLO, Workload
from lmaas.selection._candidate import Candidate
from lmaas.selection._inputs import Inputs
from lmaas.selection._metrics import METRICS
from lmaas.selection._row import Limit, Row
from lmaas.selection._rules import Check, Rules, Status, check_facts, check_limits
from lmaas.selection._spending import Spending, spending
from lmaas.selection._task import TaskSpec
from lmaas.selection._traits import Point, ease_of_use, ease_points, headroom, locations


@dataclass(frozen=True, slots=True)
class Assessed:
    """A candidate with its figures and checks."""

    candidate: Candidate
    row: Row
    checks: tuple[Check, ...]
    spending: Spending
    ease: tuple[Point, ...]

    @property
    def passes(self) -> bool:
        """Whether it passes every rule; what is unknown does not pass."""
        return all(check.status is Status.PASS for check in self.checks)

    @property
    def fails(self) -> bool:
        """Whether it certainly breaks a rule."""
        return any(check.status is Status.FAIL for check in self.checks)

    @property
    def is_drawn(self) -> bool:
        """Whether nothing but figures stands against it, which vary from draw to draw."""
        return all(check.status is Status.PASS or check.metric in self.row.cells for check in self.checks)


def assess(
    candidate: Candidate,
    workload: Workload,
    rules: Rules,
    limits: Iterable[Limit],
    evidence: Iterable[Evidence],
) -> Assessed:
    """Put together what is known of a candidate, and hold rules and limits against it.

    What is computed is computed from `Inputs` and from facts, whatever evidence says of it.
    """
    told = best_of(evidence)
    inputs = Inputs.of(told)
    spent = spending(candidate, workload, inputs)
    points = ease_points(candidate)
    computed = (
        spent.evidence,
        spent.call_evidence,
        ease_of_use(points),
        headroom(candidate, workload, inputs.goodput_per_s),
        locations(candidate),
    )
    cells = told | {one.metric: one for one in computed if one is not None}
    at_best = {} if spent.at_best_usd is None else {"usd_per_month": spent.at_best_usd}
    row = Row(candidate.name, cells, (*limits, *_own_limits(candidate, workload)), at_best)
    checks = (*check_facts(rules, candidate), *check_limits(row))
    return Assessed(candidate, row, checks, spent, points)


def _own_limits(candidate: Candidate, workload: Workload) -> tuple[Limit, ...]:
    """Machines that are paid for must carry the busiest hour; there are no more of them than was stated."""
    if candidate.fleet is None or workload.peak_calls_per_s is None:
        return ()
    return (Limit("headroom", 1.0),)


def best_of(evidence: Iterable[Evidence]) -> dict[str, Evidence]:
    """Return one figure a metric: the best grade, then the newest, then the most observations.

    Metrics that candidates are not compared on are left out, and those that are computed.
    """
    ordered = sorted(
        (one for one in evidence if one.metric in METRICS and not METRICS[one.metric].is_computed),
        key=lambda one: (
            one.grade,
            -(one.as_of.toordinal() if one.as_of else 0),
            -(one.n or 0),
            one.source,
            one.value,
        ),
    )
    return {one.metric: one for one in reversed(ordered)}


def limits_of(task: TaskSpec, slo: SLO, rules: Rules) -> tuple[Limit, ...]:
    """Return what figures must keep, from the task, the service level objective and the rules.

    An objective for a share between the known percentiles is held to the next higher one; p99 is the highest.
    """
    shares = {"p50": 0.5, "p95": 0.95}
    share = next((name for name, covered in shares.items() if slo.percentile <= covered), "p99")
    bounds = {
        "quality": task.minimum_quality,
        f"ttft_{share}_s": slo.ttft_s,
        # The objective is about the mean between the tokens of one call, which is the time per output token.
        f"tpot_{share}_s": slo.itl_s,
        f"e2e_{share}_s": slo.e2e_s,
        "error_rate": None if slo.availability is None else 1 - slo.availability,
        "usd_per_month": rules.max_usd_per_month,
    }
    return tuple(Limit(metric, bound) for metric, bound in bounds.items() if bound is not None)
