"""Limits in a crowd, across workers that die, and without the store that hosts share: F25, F27."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from faults.clients import asking
from faults.gateways import metric
from faults.test_operations import process_of, workers_of
from faults.world import replicas_here, world_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.store_servers import ValkeyServer

WARM_UP = 4
"""Calls that a world makes before anything else."""


@pytest.mark.fault("F25")
async def test_workers_let_exactly_the_limit_through(tmp_path: Path) -> None:
    async with (
        replicas_here(1) as replicas,
        world_of(
            *replicas,
            process_in=tmp_path,
            workers=4,
            model={"limits": {"requests_per_minute": 100, "tokens_per_day": 10**9}},
            deadline_s=60,
            timeouts={"first_byte_s": 30},
        ) as world,
    ):
        world.is_stopped = True  # several processes: descriptors and tasks of one say nothing
        told = await world.history.calls_of(*[asking(tokens=1)] * 1000, within_s=60)
        passed = [one for one in told if one.status != 429]
        assert len(passed) == 100 - WARM_UP
        assert {one.code for one in told if one not in passed} == {"rate_limit_exceeded"}


@pytest.mark.fault("F25")
async def test_places_of_a_killed_worker_are_free_again(tmp_path: Path) -> None:
    async with (
        replicas_here(1) as replicas,
        world_of(
            *replicas,
            process_in=tmp_path,
            workers=2,
            model={"limits": {"calls_in_flight": 4}},
            deadline_s=60,
        ) as world,
    ):
        world.is_stopped = True
        slow = [asyncio.create_task(world.history.call(asking(headers_delay_s=30))) for _ in range(4)]
        await world.until(lambda: replicas[0].running() == 4)
        refused = await world.history.call(asking(tokens=1))
        assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
        before = workers_of(process_of(world).pid)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        for lost in [await call for call in slow]:
            world.history.calls.remove(lost)  # excused: their workers were killed
        await world.until(lambda: len(set(workers_of(process_of(world).pid)) - set(before)) == 2, within_s=20)

        async def is_served() -> bool:
            return (await world.history.call(asking(tokens=1))).outcome == "ok"

        for _ in range(100):
            if await is_served():
                break
            await asyncio.sleep(0.1)
        assert await is_served()
        assert await metric(world.gateway.port, "lmaas_reserved_tokens") == 0


@pytest.mark.fault("F27")
async def test_store_that_stops_empties_or_dies_holds_no_call_up(
    new_valkey: Callable[[], ValkeyServer],
) -> None:
    server = new_valkey()
    server.start()
    async with (
        replicas_here(1) as replicas,
        world_of(
            *replicas,
            storage={"valkey_url": server.url},
            model={"limits": {"requests_per_minute": 10_000, "calls_in_flight": 50}},
        ) as world,
    ):
        limiter = world.gateway.running.gateway.limiter  # type: ignore[attr-defined]  # it is in this process

        async def slowest_of(calls: int) -> float:
            slowest_s = 0.0
            for _ in range(calls):
                begun_s = time.monotonic()
                assert (await world.history.call(asking(tokens=1))).outcome == "ok"
                slowest_s = max(slowest_s, time.monotonic() - begun_s)
            return slowest_s

        usual_s = await slowest_of(10)
        server.pause()
        assert await slowest_of(20) < usual_s + 0.25, "one waits for 50 ms, the others for nothing"
        server.signal(signal.SIGCONT)
        await world.until(lambda: limiter.store.is_up, within_s=5)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as line:
            line.sendall(b"FLUSHALL\r\n")
            assert line.recv(16).startswith(b"+OK")
        await slowest_of(5)
        server.kill()
        await slowest_of(20)
        server.start()
        await world.until(lambda: limiter.store.is_up, within_s=5)
        await slowest_of(5)
