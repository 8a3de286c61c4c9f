"""The event loop's lag is seen, and counted where operators look."""

from __future__ import annotations

import asyncio
import time

from lmaas_gateway.loop_watch import LoopWatch, count_tasks
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.metrics.exposition import render


async def test_blocked_loop_shows_as_lag_and_an_idle_one_as_none() -> None:
    seen: list[float] = []
    watch = LoopWatch(seen.append)
    watch.start()
    await asyncio.sleep(0.2)
    time.sleep(0.4)  # noqa: ASYNC251 - this is the fault
    async with asyncio.timeout(5):
        while len(seen) < 2:
            await asyncio.sleep(0.01)
    watch.stop()
    count = len(seen)
    await asyncio.sleep(0.3)
    assert len(seen) == count, "stopped is stopped"
    assert seen[0] > 0.3
    assert min(seen) < 0.25


async def test_tasks_are_those_of_the_loop_that_runs() -> None:
    before = count_tasks()
    other = asyncio.create_task(asyncio.sleep(0))
    assert count_tasks() == before + 1
    await other
    assert await asyncio.to_thread(count_tasks) == 0


def test_lag_is_rendered() -> None:
    metrics = Metrics()
    metrics.observe_lag(0.3)
    text = render(metrics).decode()
    assert 'lmaas_event_loop_lag_seconds_bucket{le="0.5"} 1.0' in text
    assert 'lmaas_event_loop_lag_seconds_bucket{le="0.25"} 0.0' in text
