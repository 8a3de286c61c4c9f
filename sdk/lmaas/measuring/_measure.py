"""Measuring from a program: a plan in, a report out."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from lmaas.measuring._record import BenchReport, report_of
from lmaas.measuring._run import Bench, BenchPlan, Watching, run_in_own_loop


def new_run_id(now: datetime) -> str:
    """Return a name for a run: when it began, and something that no other has."""
    return f"{now:%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"


def measure(plan: BenchPlan, *, watching: Watching | None = None) -> BenchReport:
    """Measure in an event loop of its own, and return what was found. Not for use within a running loop.

    Args:
        plan: What, and how much of it.
        watching: Who hears how it goes on.

    Raises:
        MeasurementError: a platform does not answer a first call.
        ConfigurationError: a spending cap cannot be kept, or numpy is not installed.
    """
    started_at = datetime.now(UTC)
    result = run_in_own_loop(Bench(plan, watching=watching))
    return report_of(
        plan,
        result,
        run_id=new_run_id(started_at),
        started_at=started_at,
        command="lmaas.measuring.measure(...)",
    )
