"""A process short of file descriptors refuses, waits and recovers; it does not spin, nor blame replicas."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from pathlib import Path

from lmaas_gateway.testing import FakeReplica
from support.processes import served, stop
from support.serving import ASK, CHAT
from support.stub import ask, raw_client, request_bytes

DEADLINES = "connections: {header_timeout_s: 0.5}"


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def honest_call(port: int) -> int:
    """Call until somebody listens; give the status."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                reply = await ask(port, request_bytes(CHAT, ASK))
                if reply.status != 503:
                    return reply.status
            await asyncio.sleep(0.1)


async def crowd(stack: contextlib.AsyncExitStack, port: int, size: int) -> None:
    for _ in range(size):
        await stack.enter_async_context(raw_client(port))


async def test_few_descriptors_mean_few_connections(tmp_path: Path) -> None:
    async with (
        FakeReplica() as replica,
        served(replica, tmp_path, DEADLINES, max_files=64) as (process, port),
    ):
        async with contextlib.AsyncExitStack() as stack:
            await crowd(stack, port, 150)
            await asyncio.sleep(0.3)
            begun_s = cpu_s(process.pid)
            await asyncio.sleep(1)
            assert cpu_s(process.pid) - begun_s < 0.5
            assert await honest_call(port) == 200
        assert await honest_call(port) == 200
        lines = await stop(process)
    assert all(b'"replica_unavailable"' not in line for line in lines)


async def test_none_left_is_no_busy_loop_and_no_replicas_fault(tmp_path: Path) -> None:
    async with FakeReplica() as replica, served(replica, tmp_path, DEADLINES) as (process, port):
        assert await honest_call(port) == 200
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        few = len(os.listdir(f"/proc/{process.pid}/fd")) + 3  # noqa: PTH208 - names are enough
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (few, before[1]))
        async with contextlib.AsyncExitStack() as stack:
            await crowd(stack, port, 100)
            begun_s = cpu_s(process.pid)
            await asyncio.sleep(1)
            assert cpu_s(process.pid) - begun_s < 0.5
        assert await honest_call(port) == 200
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
        assert await honest_call(port) == 200
        await stop(process)
