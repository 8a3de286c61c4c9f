"""How far `lmaas bench` is: a bar in a terminal, a line a leg elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lmaas.cli._terminal import note
from lmaas.errors import ConfigurationError

if TYPE_CHECKING:
    from lmaas.measuring._generator import LegPlan
    from lmaas.measuring._rows import Row
    from lmaas.measuring._run import BenchPlan, Watching


@contextmanager
def watching(plan: BenchPlan, legs_done: int) -> Iterator[Watching]:
    """Yield what a run tells its progress to."""
    from lmaas.measuring._run import Watching

    count = sum(1 for _ in plan.legs())
    minutes = (count - legs_done) * (plan.warmup_s + plan.measured_s) / 60
    note(f"{count - legs_done} of {count} legs to measure, about {minutes:.1f} minutes")
    if not sys.stderr.isatty():
        yield Watching(leg_begins=lambda leg, number, of: note(f"[{number}/{of}] {_told(leg)}"))
        return
    with _bar(count, legs_done) as watchers:
        yield watchers


@contextmanager
def _bar(count: int, legs_done: int) -> Iterator[Watching]:
    from lmaas.measuring._run import Watching

    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        raise ConfigurationError("rich is not installed; run `pip install 'lmaas[choose]'`.") from None
    columns = (
        TextColumn("{task.completed:.0f}/{task.total:.0f} legs"),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
        task = progress.add_task("", total=count, completed=legs_done, told="")
        state = _State()

        def leg_begins(leg: LegPlan, number: int, _count: int) -> None:
            state.told, state.leg = _told(leg), number
            progress.update(task, completed=number - 1, told=state.told)

        def call_ended(row: Row) -> None:
            state.calls += 1
            state.failed += not row.is_answered
            told = f"{state.told}: {state.calls} calls, {state.failed} failed, {state.usd:.4f} USD"
            progress.update(task, told=told)

        def spent(usd: float) -> None:  # at the end of a leg; a run may end before its last one
            state.usd = usd
            progress.update(task, completed=state.leg)

        yield Watching(leg_begins, call_ended, spent)


class _State:
    """What the bar tells beside its length."""

    def __init__(self) -> None:
        self.told = ""
        self.leg = 0
        self.calls = 0
        self.failed = 0
        self.usd = 0.0


def _told(leg: LegPlan) -> str:
    return f"{leg.platform} at {leg.calls_per_s:g} calls/s, block {leg.block + 1}"
