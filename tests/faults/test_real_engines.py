"""The core faults on two real vLLM engines, which one gateway has launched: F1, F2, F4 and F16.

One pair of engines serves all tests, in order; those that kill come last, and the last kills the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from e2e.live_gateway import command_line, descendants
from faults import invariants
from faults.clients import ASK, KEY, History, asking
from faults.gateways import GatewayProcess, get, metric
from gateway.processes import any_alive, eventually, group_members, is_alive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faults.clients import Told

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]

READY_WITHIN_S = 240.0
FIRST_BYTE_S = 20.0
GONE_WITHIN_S = 5.0
RUNNING = b"vllm:num_requests_running"


class Engines:
    """Two vLLM processes behind one gateway."""

    def __init__(self, gateway: GatewayProcess, runtime_dir: Path) -> None:
        self.gateway = gateway
        self.sockets = sorted(runtime_dir.glob("mock-*.sock"))
        self.history = History(gateway.port)

    def api_server(self, number: int) -> int:
        """The process that serves HTTP on the socket of a replica, which leads its engine's process group."""
        (pid,) = self._processes(number, is_guardian=False)
        return pid

    def guardians(self, number: int) -> list[int]:
        """The process between the gateway and a replica's engine, if there is one now."""
        return self._processes(number, is_guardian=True)

    def _processes(self, number: int, *, is_guardian: bool) -> list[int]:
        path = str(self.sockets[number]).encode()
        commands = {pid: command_line(pid) for pid in descendants(self.gateway.pid)}
        named = [pid for pid, words in commands.items() if path in words]
        return [pid for pid in named if (b"guardian.py" in b" ".join(commands[pid])) is is_guardian]

    async def running(self) -> list[int]:
        """How many requests each engine works on, as it says itself."""
        return list(await asyncio.gather(*map(self._running, self.sockets)))

    async def _running(self, path: Path) -> int:
        reader, writer = await asyncio.open_unix_connection(str(path))
        with contextlib.closing(writer):
            writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            async with asyncio.timeout(30):
                text = await reader.read()
        (line,) = (line for line in text.splitlines() if line.startswith(RUNNING + b"{"))
        return int(float(line.rpartition(b" ")[2]))

    async def until_running(self, expected: list[int], *, within_s: float = 30.0) -> None:
        async with asyncio.timeout(within_s):
            while sorted(await self.running()) != sorted(expected):
                await asyncio.sleep(0.05)

    async def until_ready(self) -> None:
        """Wait until both replicas take calls."""
        async with asyncio.timeout(READY_WITHIN_S):
            while await self._ready() < 2:
                await asyncio.sleep(0.2)

    async def _ready(self) -> int:
        models = (await get(self.gateway.port, "/readyz")).json["models"]
        return sum(replica["ready"] for replica in models["mock"]["replicas"])

    def line_of(self, told: Told) -> dict[str, Any]:
        (line,) = (line for line in self.gateway.access_log() if line["request_id"] == told.request_id)
        return line

    async def logged(self) -> None:
        """Wait until every call that was made has its line."""
        ids = {told.request_id for told in self.history.calls}
        async with asyncio.timeout(5):
            while not ids <= {line["request_id"] for line in self.gateway.access_log()}:
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engines]:
    python = os.environ.get("LMAAS_ENGINE__PYTHON", "")
    if not python:
        pytest.fail("set LMAAS_ENGINE__PYTHON to an interpreter that has vLLM; `make faults` does it")
    # Sockets have short paths, and pytest's folders long ones.
    runtime_dir = Path(tempfile.mkdtemp(prefix="lmaas-faults-"))
    config = {
        "api_key": KEY,
        "probe_interval_s": 0.5,
        "runtime_dir": str(runtime_dir),
        "shutdown_timeout_s": 2,
        "engine": {"python": python, "shutdown_timeout_s": 2},
        "timeouts": {"first_byte_s": FIRST_BYTE_S},
        "models": [{"name": "mock", "model": "smollm2-135m-instruct", "replicas": 2}],
    }
    process = GatewayProcess(tmp_path_factory.mktemp("engines"), config)
    try:
        await process.start(within_s=READY_WITHIN_S)
        made = Engines(process, runtime_dir)
        await made.until_ready()
        await made.history.calls_of(*[{**ASK, "max_tokens": 2} for _ in range(4)], within_s=60)
        yield made
        invariants.check_no_secrets(process.written())
    finally:
        await process.stop(within_s=60)
        shutil.rmtree(runtime_dir, ignore_errors=True)


def story(tokens: int, *, stream: bool = True) -> dict[str, Any]:
    """A call that generates exactly so many tokens."""
    return {**asking(stream=stream, tokens=tokens), "ignore_eos": True}


def threads_of(pid: int) -> int:
    """How many threads of a process are left; a killed one keeps its connections until the last has ended."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return 0


@pytest.mark.fault("F16")
@pytest.mark.parametrize("stream", [False, True])
async def test_client_gone_frees_the_real_engine(engines: Engines, stream: bool) -> None:
    async with engines.history.open(story(1500, stream=stream)) as talk:
        await engines.until_running([0, 1])
        if stream:
            await talk.until_events(3, within_s=30)
        talk.leave()
    started = time.monotonic()
    await engines.until_running([0, 0])
    assert time.monotonic() - started < 1.1
    await engines.logged()
    assert engines.line_of(talk.told)["outcome"] == "client_gone"


@pytest.mark.fault("F4")
async def test_stopped_real_engine_costs_its_calls_one_deadline(engines: Engines) -> None:
    pid = engines.api_server(0)
    os.kill(pid, signal.SIGSTOP)
    try:
        told = await engines.history.calls_of(*[story(4) for _ in range(4)], within_s=90)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {one.outcome for one in told} == {"ok"}
    assert max(one.took_s for one in told) < FIRST_BYTE_S + 10
    await engines.logged()
    assert {engines.line_of(one)["replica"] for one in told} == {"mock-1"}
    await engines.until_ready()


@pytest.mark.fault("F1", "F2")
async def test_killed_real_engine_ends_exactly_its_own_streams(engines: Engines) -> None:
    """Sixteen streams, and eight calls that have not begun: one engine's streams are lost, nothing else."""
    begun = [asyncio.create_task(engines.history.call(story(90), within_s=120)) for _ in range(16)]
    streams = engines.history.calls[-16:]
    async with asyncio.timeout(60):
        while len(streams) < 16 or min(len(told.events) for told in streams) < 3:
            await asyncio.sleep(0.05)
            streams = [told for told in engines.history.calls if told.is_stream][-16:]
    plain = [
        asyncio.create_task(engines.history.call(story(6, stream=False), within_s=120)) for _ in range(8)
    ]
    async with asyncio.timeout(10):
        while await metric(engines.gateway.port, "lmaas_requests_in_flight") < 24:
            await asyncio.sleep(0.02)
    pid = engines.api_server(0)
    os.kill(pid, signal.SIGKILL)
    while is_alive(pid) or threads_of(pid) > 1:
        await asyncio.sleep(0.005)
    # The kernel has taken the process apart, its last thread and gigabytes: now its connections are closed.
    died_s = time.monotonic()
    told = await asyncio.gather(*begun)
    moved = [(one.outcome, one.code) for one in await asyncio.gather(*plain)]
    assert moved == [("ok", "")] * 8, "none that had not begun is lost"
    await engines.logged()
    lost = [one for one in told if engines.line_of(one)["replica"] == "mock-0"]
    assert 0 < len(lost) < 16
    for one in told:
        assert one.outcome == ("interrupted" if one in lost else "ok")
    for one in lost:
        assert one.code == "stream_interrupted"
        assert not one.is_done
        assert one.ended_s is not None
        assert one.ended_s - died_s < 1
        assert 0 < one.tokens < 90
    assert {engines.line_of(one)["completion_tokens"] for one in told if one not in lost} == {90}
    invariants.check_ends([*told], deadline_s=120)


async def test_kill_9_of_a_guardian_and_of_the_gateway_leaves_no_process_of_an_engine(
    engines: Engines,
) -> None:
    group, (guardian,) = engines.api_server(1), engines.guardians(1)
    assert len(group_members(group)) >= 2, "an API server and its core"
    os.kill(guardian, signal.SIGKILL)
    await eventually(lambda: not group_members(group), GONE_WITHIN_S)
    await eventually(lambda: engines.guardians(1) not in ([], [guardian]), GONE_WITHIN_S)
    # Nobody is left to start anything again; one engine is in the middle of its start.
    family = descendants(engines.gateway.pid)
    engines.gateway.signal(signal.SIGKILL)
    assert await engines.gateway.ended() == -signal.SIGKILL
    await eventually(lambda: not any_alive(family), GONE_WITHIN_S)
