"""The life of a replica, with an engine and a clock of a few lines."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.replicas.supervisor import Clock, Supervisor, WatchPolicy

if TYPE_CHECKING:
    from pathlib import Path

POLICY = WatchPolicy(
    start_timeout_s=30, max_restarts=2, restart_backoff_s=1, probe_interval_s=5, probe_timeout_s=1
)


class Engine:
    """An engine that ends when the test says so."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.calls: list[str] = []
        self.exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await asyncio.shield(self.exit_code)

    async def stop(self) -> None:
        self.calls.append("stop")

    async def kill(self) -> None:
        self.calls.append("kill")


class World:
    """A supervisor, its engines, and a clock that the test moves."""

    def __init__(self, folder: Path, policy: WatchPolicy = POLICY) -> None:
        self.time = 1000.0
        self.backoffs: list[float] = []
        self.lines: list[str] = []
        self.engines: list[Engine] = []
        self.failures: deque[OSError] = deque()
        self.serving = False
        self.hanging = False
        self.log = folder / "log"
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        clock = Clock(monotonic=lambda: self.time, now=lambda: self.time, sleep=self._sleep)
        self.supervisor = Supervisor(
            "m",
            "unix:/x.sock",
            self.log,
            policy=policy,
            probe=self._probe,
            report=self.lines.append,
            clock=clock,
        )

    async def advance(self, seconds: float) -> None:
        """Let time pass, and all that happens in it happen."""
        until = self.time + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            self.time, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)
            await self._settle()
        self.time = until

    async def start(self) -> Engine:
        if self.failures:
            raise self.failures.popleft()
        self.engines.append(Engine(100 + len(self.engines)))
        return self.engines[-1]

    def run(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.supervisor.run(self.start))

    @property
    def state(self) -> str:
        return self.supervisor.status.state

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def _sleep(self, seconds: float) -> None:
        if self.state == "restarting":
            self.backoffs.append(seconds)
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, len(self._sleepers), sleeper))
        await sleeper

    async def _probe(self, url: str) -> bool:
        assert url == "unix:/x.sock"
        if self.hanging:
            raise TimeoutError
        return self.serving


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_replica_gets_ready_and_is_stopped_after_its_calls(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.state == "preparing"
    task = world.run()
    await world.advance(12)
    assert (world.state, world.supervisor.status.pid) == ("starting", 100)
    world.serving = True
    await world.advance(0.5)
    assert (world.state, world.supervisor.status.since) == ("ready", 1012.25)
    assert world.lines == [
        "m: loading the engine (step 1 of 4, importing vLLM) … 5 s",
        "m: loading the engine (step 1 of 4, importing vLLM) … 10 s",
        "m: ready after 12 s",
    ]
    await end(task)
    assert (world.state, world.supervisor.status.pid) == ("stopped", None)
    assert world.engines[0].calls == ["stop"]


async def test_engine_that_dies_is_started_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.serving = True
    task = world.run()
    await world.advance(1)
    world.engines[0].exit_code.set_result(0)
    await world.advance(0.5)
    assert (world.state, world.supervisor.status.pid) == ("restarting", None)
    await world.advance(1)
    status = world.supervisor.status
    assert (status.state, status.restarts, status.pid) == ("ready", 1, 101)
    assert status.last_error == "the engine ended with exit code 0"
    await end(task)


async def test_pauses_double_up_to_a_minute_and_then_it_is_given_up(tmp_path: Path) -> None:
    world = World(tmp_path, WatchPolicy(start_timeout_s=30, max_restarts=7, restart_backoff_s=1))
    world.failures.extend(OSError(2, "no such file") for _ in range(8))
    task = world.run()
    await world.advance(1000)
    assert task.done()
    assert world.backoffs == [1, 2, 4, 8, 16, 32, 60]
    assert world.state == "failed"
    assert world.lines[-1] == (
        "m: FAILED: the engine could not be started (no such file); given up after 8 failed starts"
    )


async def test_becoming_ready_forgives_failed_starts(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.serving = True
    task = world.run()
    for number in range(5):
        await world.advance(61)
        assert world.state == "ready"
        world.engines[number].exit_code.set_result(1)
        await world.advance(0)
    assert world.supervisor.status.restarts == 5
    assert world.state == "restarting"
    await end(task)


async def test_only_a_replica_that_stays_ready_gets_short_pauses_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.serving = True
    task = world.run()
    for stays_s in (10, 10, 10, 70, 10):
        await world.advance(stays_s)
        assert world.state == "ready"
        world.engines[-1].exit_code.set_result(1)
        await world.advance(0)
    assert world.backoffs == [1, 2, 4, 1, 2]
    await end(task)


async def test_engine_that_never_gets_ready_is_killed_and_given_up(tmp_path: Path) -> None:
    world = World(tmp_path)
    task = world.run()
    await world.advance(100)
    assert task.done()
    assert [engine.calls for engine in world.engines] == [["kill"]] * 3
    assert world.supervisor.status.last_error == (
        "the engine was not ready after 30 s; given up after 3 failed starts"
    )


async def test_ready_engine_that_stops_answering_is_killed_after_three_missed_probes(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.serving = True
    task = world.run()
    await world.advance(1)
    world.hanging = True
    await world.advance(10)
    assert (world.state, world.engines[0].calls) == ("ready", [])
    world.hanging = False
    await world.advance(5)
    world.hanging = True
    await world.advance(15)
    assert (world.state, world.engines[0].calls) == ("restarting", ["kill"])
    assert world.supervisor.status.last_error == "the engine stopped answering"
    await end(task)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1, "the engine ended with exit code 1: not enough memory"),
        (-9, "the engine was killed by SIGKILL"),
        (-99, "the engine was killed by signal 99"),
    ],
)
async def test_reason_of_an_end(tmp_path: Path, code: int, reason: str) -> None:
    world = World(tmp_path)
    world.log.write_text("ValueError: not enough memory\n")
    task = world.run()
    await world.advance(1)
    world.engines[0].exit_code.set_result(code)
    await world.advance(0)
    assert world.supervisor.status.last_error == reason
    assert f"m: {reason}; restarting in 1 s (log: {world.log})" in world.lines
    await end(task)


async def test_reason_for_giving_up_has_no_path_for_callers_but_one_for_the_operator(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.supervisor.give_up("no space in /cache/x")
    assert world.supervisor.status.last_error == "no space in …"
    assert world.lines == ["m: FAILED: no space in /cache/x"]
