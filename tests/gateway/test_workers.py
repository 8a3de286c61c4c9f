"""Several real worker processes on one port."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.processes import any_alive, eventually, is_alive
from lmaas_gateway.server import listen, serve_worker
from lmaas_gateway.testing import FakeReplica, Script
from lmaas_gateway.workers import Workers
from support.serving import ASK, CHAT, settings_for
from support.stub import Response, ask, request_bytes
from support.stubborn import serve_forever

if TYPE_CHECKING:
    import pytest

    from lmaas_gateway.testing.seen import Seen


def pids(workers: Workers) -> set[int]:
    return {process.pid for process in workers._processes if process.pid is not None}


async def answered(port: int, path: str) -> Response | None:
    try:
        return await ask(port, request_bytes(path, b"", "connection: close", method="GET"))
    except (OSError, asyncio.IncompleteReadError):
        return None


async def until_ready(port: int) -> None:
    while (reply := await answered(port, "/readyz")) is None or reply.status != 200:  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.1)


async def call(port: int) -> None:
    """Make one call; a worker that has just begun, and has not probed its replicas yet, is asked again."""
    async with asyncio.timeout(10):
        while (await ask(port, request_bytes(CHAT, ASK, "connection: close"))).status != 200:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)


async def counted(port: int) -> float:
    reply = await answered(port, "/metrics")
    if reply is None:
        return 0
    line = f'lmaas_requests_total{{code="200",model="mock",route="{CHAT}"}}'
    return sum(float(row.split()[-1]) for row in reply.body.decode().splitlines() if row.startswith(line))


async def test_workers_share_a_port_are_replaced_and_stop_together() -> None:
    said: list[str] = []
    async with FakeReplica() as replica:
        settings = settings_for(replica, workers=2, shutdown_timeout_s=1, access_log=False)
        with listen("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
            workers = Workers(settings, listener, target=serve_worker, report=said.append)
            running = asyncio.create_task(workers.run())
            async with asyncio.timeout(40):
                await until_ready(port)
                seen = pids(workers)
                assert len(seen) == 2
                for _ in range(20):
                    await call(port)
                while await counted(port) != 20:  # noqa: ASYNC110 - published by another process
                    await asyncio.sleep(0.1)
                killed = min(seen)
                os.kill(killed, signal.SIGKILL)
                await eventually(lambda: len(pids(workers) | seen) == 3, 20)
                await call(port)
                seen |= pids(workers)
                os.kill(os.getpid(), signal.SIGTERM)
                await running
    assert any(f"worker {killed} ended with code -9; starting another" in line for line in said)
    await eventually(lambda: not any_alive(seen))


def ignores_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


async def test_worker_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmaas_gateway.workers._KILL_AFTER_S", 0.1)
    settings = settings_for("http://127.0.0.1:1", workers=1, shutdown_timeout_s=0)
    with listen("127.0.0.1", 0) as listener:
        workers = Workers(settings, listener, target=serve_forever, report=lambda _: None)
        running = asyncio.create_task(workers.run())
        await eventually(lambda: pids(workers))
        (pid,) = pids(workers)
        await eventually(lambda: ignores_sigterm(pid), 20)
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(10):
            await running
    assert not is_alive(pid)


def peak(calls: tuple[Seen, ...]) -> int:
    """How many calls a replica worked on at the same time, at most."""
    ends = [call.ended_at_s for call in calls if call.ended_at_s is not None]
    return max(
        sum(begun.at_s <= call.at_s for begun in calls) - sum(end <= call.at_s for end in ends)
        for call in calls
    )


async def test_workers_together_pass_the_capacity_by_one_call_each_at_most() -> None:
    async with FakeReplica(script=Script(headers_delay_s=0.1)) as replica:
        settings = settings_for(replica, workers=2, shutdown_timeout_s=1, access_log=False)
        (model,) = settings.models
        settings = settings.model_copy(update={"models": (model.model_copy(update={"max_in_flight": 6}),)})
        with listen("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
            workers = Workers(settings, listener, target=serve_worker, report=lambda _: None)
            running = asyncio.create_task(workers.run())
            async with asyncio.timeout(40):
                await eventually(lambda: replica.record.probes["/health"] > 4, 20)
                asking = request_bytes(CHAT, ASK, "connection: close")
                replies = await asyncio.gather(*(ask(port, asking) for _ in range(60)))
                os.kill(os.getpid(), signal.SIGTERM)
                await running
        assert {reply.status for reply in replies} == {200}
        assert 5 <= peak(replica.calls) <= 6 + 2
