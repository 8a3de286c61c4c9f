"""Many clients that do not read: what the gateway holds for each is bounded, and nobody else waits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from pathlib import Path

from lmaas_gateway.testing import FakeReplica, Script
from support.processes import served
from support.serving import ASK, CHAT
from support.stub import ask, request_bytes

READERS = 20
MEBIBYTE = 2**20


def rss_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def stuck_reader(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.sock_sendall(sock, request_bytes(CHAT, {**ASK, "stream": True}))
    return sock


async def test_many_cost_little_memory_and_nobody_elses_time(tmp_path: Path) -> None:
    script = Script(events=("data: " + "x" * 60_000 + "\n\n",) * 120)
    async with FakeReplica(script=script) as replica, served(replica, tmp_path) as (process, port):
        before = rss_bytes(process.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(READERS):
                stack.enter_context(await stuck_reader(port))
            await replica.record.until(lambda: replica.requests == READERS, within_s=60)
            await asyncio.sleep(2)
            times = []
            for _ in range(50):
                begun_s = time.perf_counter()
                assert (await ask(port, request_bytes("/v1/models", b"", method="GET"))).status == 200
                times.append(time.perf_counter() - begun_s)
            assert rss_bytes(process.pid) - before < READERS * 1.5 * MEBIBYTE
            assert sorted(times)[45] < 0.25
