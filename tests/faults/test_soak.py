"""Mixed faults at load for a long time: `make soak MINUTES=30`; half a minute in `make test`."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from faults.clients import asking
from faults.driver import break_something, driving
from faults.invariants import read_late

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from faults.driver import Driver

SECONDS = 60 * float(os.environ.get("LMAAS_TEST_SOAK_MINUTES", "0.4"))
CLIENTS = 12
MAX_GROWTH = 0.02
MIN_GROWTH_BYTES = 4 * 2**20
"""What is flat: less than 2 % over the time that was watched, or less than 4 MiB."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the gateway held at one moment."""

    at_s: float
    rss_bytes: int
    descriptors: int
    tasks: int


@dataclass
class Soak:
    """One soak: clients, a saboteur, a watcher.

    Attributes:
        outcomes: How the calls ended.
        samples: What the watcher saw.
    """

    driver: Driver
    seconds: float
    outcomes: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    async def run(self) -> None:
        ends_s = time.monotonic() + self.seconds
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(self._call(ends_s, random.Random(number)))
            tasks.create_task(self._sabotage(ends_s, random.Random(CLIENTS)))
            tasks.create_task(self._watch(ends_s))

    async def _call(self, ends_s: float, source: random.Random) -> None:
        history = self.driver.world.history
        while time.monotonic() < ends_s:
            fields = asking(
                stream=source.random() < 0.6,
                tokens=source.randrange(1, 40),
                token_gap_s=source.choice([0, 0, 0.02]),
            )
            async with history.open(fields) as talk:
                if source.random() < 0.1:
                    talk.start_reading()
                    await asyncio.sleep(source.random() * 0.2)
                    if talk.told.ended_s is None:
                        talk.leave(reset=source.random() < 0.5)
                else:
                    await talk.finish()
            self.outcomes[talk.told.outcome] += 1
            await asyncio.sleep(source.random() * 0.05)

    async def _sabotage(self, ends_s: float, source: random.Random) -> None:
        pause_s = min(2.0, self.seconds / 20)
        while time.monotonic() < ends_s:
            await asyncio.sleep(pause_s)
            await break_something(self.driver, source)

    async def _watch(self, ends_s: float) -> None:
        pause_s = max(0.5, self.seconds / 200)
        while time.monotonic() < ends_s:
            await asyncio.sleep(pause_s)
            now = await self.driver.gateway.vitals()
            self.samples.append(Sample(time.monotonic(), now.rss_bytes, now.descriptors, now.tasks))


def growth(samples: Sequence[Sample]) -> float:
    """What the memory grew by over the second half, by a straight line through it, in bytes."""
    late = samples[len(samples) // 2 :]
    mean_s = sum(one.at_s for one in late) / len(late)
    mean = sum(one.rss_bytes for one in late) / len(late)
    spread = sum((one.at_s - mean_s) ** 2 for one in late)
    slope = sum((one.at_s - mean_s) * (one.rss_bytes - mean) for one in late) / spread
    return slope * (late[-1].at_s - late[0].at_s)


def table(soak: Soak) -> str:
    """The result, for people."""
    samples = soak.samples
    lines = ["| minute | RSS MiB | descriptors | tasks |", "|---|---|---|---|"]
    for one in samples[:: max(1, len(samples) // 15)]:
        minute = (one.at_s - samples[0].at_s) / 60
        lines.append(f"| {minute:.1f} | {one.rss_bytes / 2**20:.1f} | {one.descriptors} | {one.tasks} |")
    calls = ", ".join(f"{count} {outcome}" for outcome, count in soak.outcomes.most_common())
    world = soak.driver.world
    late = Counter(
        f"{one.outcome}, {one.tokens} tokens" for one in read_late(world.history.calls, world.attempts())
    )
    lines.append(f"\n{sum(soak.outcomes.values())} calls: {calls}; growth {growth(samples) / 2**20:+.2f} MiB")
    lines.append(f"{late.total()} attempts read after they had been given up: {dict(late)}")
    return "\n".join(lines)


@pytest.mark.fault("S1")
@pytest.mark.timeout(180 + SECONDS * 4 // 3)
async def test_mixed_faults_leave_memory_descriptors_and_tasks_flat(tmp_path: Path) -> None:
    async with driving(tmp_path) as driver:
        soak = Soak(driver, SECONDS)
        await soak.run()
        print(f"\n{table(soak)}")  # noqa: T201 - the result
        assert soak.outcomes["ok"] > 0.8 * (sum(soak.outcomes.values()) - soak.outcomes["left"])
        assert soak.outcomes["lost"] == soak.outcomes["truncated"] == 0
        mean = sum(one.rss_bytes for one in soak.samples) / len(soak.samples)
        assert growth(soak.samples) <= max(MAX_GROWTH * mean, MIN_GROWTH_BYTES)
