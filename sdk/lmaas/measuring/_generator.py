"""The load generator: sends every call when it is due, and watches itself while it does.

When the generator is the limit, what it measures is itself. So it keeps how late calls were sent, how late
the timers of its event loop came and how much of its core it used.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from lmaas.measuring._arrivals import due_times
from lmaas.measuring._prompts import Prompt
from lmaas.measuring._rows import Leg, Row

_TICK_S: Final = 0.001
_BATCH: Final = 16
_PROBE_S: Final = 0.05


class Sending(Protocol):
    """Sends one call; `Sender` is one."""

    async def send(self, prompt: Prompt, *, index: int, due_s: float, begun_s: float) -> Row:
        """Send a call and tell what came of it."""
        ...


class Purse(Protocol):
    """Says whether a call may still be paid for; `Budget` is one."""

    def reserve(self, platform: str, prompt: Prompt) -> bool:
        """Set aside what a call may cost at most; False if that is too much."""
        ...

    def settle(self, platform: str, prompt: Prompt, row: Row) -> None:
        """Replace what was set aside by what the call cost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LegPlan:
    """One stretch of load on one platform.

    Attributes:
        platform: The label of the target.
        calls_per_s: The mean arrival rate.
        block: Which repetition.
        warmup_s: How long calls come that are not counted.
        measured_s: How long calls come that are.
        burstiness: Of the arrivals; see `due_times`.
        seed: Of the arrivals: every platform gets the same.
    """

    platform: str
    calls_per_s: float
    block: int
    warmup_s: float
    measured_s: float
    burstiness: float = 1.0
    seed: int = 0

    @property
    def key(self) -> tuple[str, float, int]:
        """What tells legs of a run apart."""
        return self.platform, self.calls_per_s, self.block

    @property
    def stretch(self) -> str:
        """Names the rate and the repetition: what the platforms have in common."""
        return f"{self.calls_per_s:g}/{self.block}"

    def due_times(self) -> list[float]:
        """Return when its calls are due, the same for every platform."""
        source = random.Random(f"{self.seed}/{self.stretch}")  # noqa: S311 - the same load again
        duration_s = self.warmup_s + self.measured_s
        return list(due_times(self.calls_per_s, duration_s, burstiness=self.burstiness, source=source))


@dataclass(slots=True)
class SelfWatch:
    """What the generator notes of itself."""

    loop_lags_s: list[float] = field(default_factory=list)
    cpu_share: float = 0.0


class Generator:
    """Runs legs.

    Args:
        prompt_at: Returns the call at a place of a stretch.
        purse: Says whether the next call may be paid for.
        clock: Seconds that only grow.
        on_row: Called with each call that ended.
    """

    def __init__(
        self,
        prompt_at: Callable[[str, int], Prompt],
        purse: Purse,
        *,
        clock: Callable[[], float] = time.perf_counter,
        on_row: Callable[[Row], None] = lambda _: None,
    ) -> None:
        self._prompt_at = prompt_at
        self._purse = purse
        self._clock = clock
        self._on_row = on_row

    async def run(self, plan: LegPlan, sender: Sending) -> Leg:
        """Send the calls of one leg, and wait until the last one has ended."""
        rows: list[Row] = []
        async with _watching_itself(self._clock) as watch:
            stopped = await self._send_all(plan, sender, rows)
        return Leg(
            platform=plan.platform,
            calls_per_s=plan.calls_per_s,
            block=plan.block,
            warmup_s=plan.warmup_s,
            duration_s=plan.warmup_s + plan.measured_s,
            rows=tuple(sorted(rows, key=lambda row: row.index)),
            loop_lags_s=tuple(watch.loop_lags_s),
            cpu_share=watch.cpu_share,
            stopped=stopped,
        )

    async def _send_all(self, plan: LegPlan, sender: Sending, rows: list[Row]) -> str:
        due = plan.due_times()
        prompts = [self._prompt_at(plan.stretch, index) for index in range(len(due))]
        begun_s = self._clock()
        async with asyncio.TaskGroup() as calls:
            for index, (due_s, prompt) in enumerate(zip(due, prompts, strict=True)):
                left_s = begun_s + due_s - self._clock()
                # Behind its time it must still let answers in now and then.
                if left_s > _TICK_S or index % _BATCH == 0:
                    await asyncio.sleep(max(left_s, 0))
                if not self._purse.reserve(plan.platform, prompt):
                    return "the spending cap was reached"
                call = self._call(plan.platform, sender, prompt, index, due_s, begun_s, rows)
                calls.create_task(call)
        return ""

    async def _call(
        self,
        platform: str,
        sender: Sending,
        prompt: Prompt,
        index: int,
        due_s: float,
        begun_s: float,
        rows: list[Row],
    ) -> None:
        row = await sender.send(prompt, index=index, due_s=due_s, begun_s=begun_s)
        self._purse.settle(platform, prompt, row)
        rows.append(row)
        self._on_row(row)


@asynccontextmanager
async def _watching_itself(clock: Callable[[], float]) -> AsyncIterator[SelfWatch]:
    watch = SelfWatch()
    probe = asyncio.create_task(_probe(watch.loop_lags_s, clock))
    begun_s, cpu_s = clock(), time.process_time()
    try:
        yield watch
    finally:
        probe.cancel()
        watch.cpu_share = (time.process_time() - cpu_s) / max(clock() - begun_s, 1e-9)


async def _probe(lags_s: list[float], clock: Callable[[], float]) -> None:
    while True:
        due_at = clock() + _PROBE_S
        await asyncio.sleep(_PROBE_S)
        lags_s.append(max(clock() - due_at, 0.0))
