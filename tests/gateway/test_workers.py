"""Several real worker processes on one port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from gateway.processes import any_alive, eventually, is_alive
from lmaas_gateway.configuration.changes import ChangeReplica
from lmaas_gateway.configuration.live import Configuration
from lmaas_gateway.errors import InvalidConfigurationError
from lmaas_gateway.link import Channel
from lmaas_gateway.replicas.supervisor import ReplicaStatus
from lmaas_gateway.server import listen, serve_worker
from lmaas_gateway.testing import FakeReplica, Script
from lmaas_gateway.workers import Workers
from support.serving import ASK, CHAT, settings_for
from support.stub import Response, ask, raw_client, request_bytes
from support.stubborn import serve_forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from lmaas_gateway.settings import Settings
    from lmaas_gateway.testing.seen import Seen


KEY = "operators-key-of-this-test"
BEARER = f"authorization: Bearer {KEY}"
SMALL: dict[str, Any] = {
    "open": True,
    "workers": 2,
    "shutdown_timeout_s": 1,
    "access_log": False,
    "admin_key": KEY,
}
STATES: dict[str, tuple[ReplicaStatus, ...]] = {}


async def answered(port: int, path: str) -> Response | None:
    try:
        return await ask(port, request_bytes(path, b"", "connection: close", method="GET"))
    except (OSError, asyncio.IncompleteReadError):
        return None


async def until_ready(port: int) -> None:
    while (reply := await answered(port, "/readyz")) is None or reply.status != 200:
        await asyncio.sleep(0.1)


async def call(port: int) -> None:
    """Make one call; a worker that has just begun, and has not probed its replicas yet, is asked again."""
    async with asyncio.timeout(10):
        while (await ask(port, request_bytes(CHAT, ASK, "connection: close"))).status != 200:
            await asyncio.sleep(0.05)


async def counted(port: int) -> float:
    reply = await answered(port, "/metrics")
    if reply is None:
        return 0
    line = f'lmaas_requests_total{{code="200",model="mock",replica="mock-0",route="{CHAT}"}}'
    return sum(float(row.split()[-1]) for row in reply.body.decode().splitlines() if row.startswith(line))


class Herd:
    """Several workers of one gateway, and what was said about them."""

    def __init__(self, workers: Workers, configuration: Configuration, port: int, said: list[str]) -> None:
        self.workers = workers
        self.configuration = configuration
        self.port = port
        self.said = said

    async def operator(self, method: str, path: str, fields: object = b"") -> Response:
        """Ask whichever worker takes the connection."""
        data = request_bytes("/admin/v1" + path, fields, BEARER, "connection: close", method=method)
        return await ask(self.port, data)

    async def from_each(self, path: str) -> list[Any]:
        """Ask often enough to have heard every worker."""
        replies = [await ask(self.port, request_bytes(path, b"", BEARER, method="GET")) for _ in range(12)]
        return [reply.json for reply in replies]


def count_up(workers: Workers) -> int:
    return sum(worker.is_up for worker in workers._workers)


@contextlib.asynccontextmanager
async def herd(settings: Settings, load: Callable[[], Settings] | None = None) -> AsyncIterator[Herd]:
    """Run workers until the end of the block; then stop them as SIGTERM does, and see that all are gone."""
    said: list[str] = []
    configuration = Configuration(settings, load or (lambda: settings))
    with listen("127.0.0.1", 0) as listener:
        workers = Workers(
            configuration.settings,
            (listener,),
            target=serve_worker,
            steering=configuration,
            launches=lambda model: STATES.get(model, ()),
        )
        configuration.attach(workers)
        running = asyncio.create_task(workers.run(said.append))
        port = listener.getsockname()[1]
        async with asyncio.timeout(120):
            try:
                await until_ready(port)
                await eventually(lambda: count_up(workers) == settings.workers, 30)
                yield Herd(workers, configuration, port, said)
            finally:
                seen = set(workers.pids)
                os.kill(os.getpid(), signal.SIGTERM)
                await running
    await eventually(lambda: not any_alive(seen))


async def test_workers_share_a_port_are_replaced_and_stop_together() -> None:
    async with FakeReplica() as replica, herd(settings_for(replica, **SMALL)) as running:
        seen = running.workers.pids
        assert len(seen) == 2
        for _ in range(20):
            await call(running.port)
        while await counted(running.port) != 20:
            await asyncio.sleep(0.1)
        killed = min(seen)
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: len(running.workers.pids | seen) == 3, 20)
        await call(running.port)
    assert any(f"worker {killed} ended with code -9; starting another" in line for line in running.said)


async def test_numbers_of_now_are_those_of_all_workers_at_each() -> None:
    async with FakeReplica() as replica, herd(settings_for(replica, **SMALL)) as workers:
        await until_ready(workers.port)
        for _ in range(8):
            await call(workers.port)
        views: list[Any] = []
        async with asyncio.timeout(15):
            while not views or any(view["total"]["calls"] != 8 for view in views):
                await asyncio.sleep(0.2)
                views = await workers.from_each("/admin/v1/live")
        assert {len(view["models"][0]["replicas"]) for view in views} == {1}
        text = (await ask(workers.port, request_bytes("/metrics", b"", method="GET"))).body.decode()
        assert "lmaas_workers 2.0" in text
        assert "process_cpu_seconds_total" not in text


async def test_change_has_reached_every_worker_when_it_is_answered() -> None:
    async with (
        FakeReplica() as first,
        FakeReplica() as second,
        herd(settings_for(first, **SMALL)) as running,
    ):
        added = await running.operator("POST", "/replicas", {"model": "mock", "url": second.url})
        assert added.json == {"changed": True, "generation": 2}
        pools = await running.from_each("/admin/v1/pools")
        names = [[replica["name"] for replica in pool["data"][0]["replicas"]] for pool in pools]
        assert names == [["mock-0", "mock-1"]] * 12
        refused = await running.operator("DELETE", "/replicas/nobody")
        assert (refused.status, refused.error["code"]) == (404, "replica_not_found")
        removed = await running.operator("DELETE", "/replicas/mock-0")
        assert removed.status == 200
        for _ in range(20):
            await call(running.port)
        assert len(first.record.calls) == 0


async def test_change_that_one_worker_cannot_make_is_made_by_none() -> None:
    async with FakeReplica() as replica, herd(settings_for(replica, **SMALL)) as running:
        refused = await running.operator("PATCH", "/replicas/mock-0", {"draining": True})
        assert (refused.status, refused.error["code"]) == (400, "invalid_configuration")
        assert "no replica that takes calls" in refused.error["message"]
        await call(running.port)
        reply = await answered(running.port, "/metrics")
        while reply is None or b'lmaas_config_reloads_total{result="refused"} 1.0' not in reply.body:
            await asyncio.sleep(0.1)
            reply = await answered(running.port, "/metrics")


async def test_worker_that_is_replaced_serves_by_what_was_changed() -> None:
    async with (
        FakeReplica() as first,
        FakeReplica() as second,
        herd(settings_for(first, **SMALL)) as running,
    ):
        await running.operator("POST", "/replicas", {"model": "mock", "url": second.url})
        seen = running.workers.pids
        os.kill(min(seen), signal.SIGKILL)
        await eventually(lambda: len(running.workers.pids | seen) == 3, 20)
        # This one reaches it while it starts.
        changed = await running.operator("PATCH", "/replicas/mock-1", {"weight": 7})
        assert changed.status == 200, changed.json
        await eventually(lambda: count_up(running.workers) == 2, 30)
        weights: set[float] = set()
        while weights != {7}:
            pools = await running.from_each("/admin/v1/pools")
            weights = {pool["data"][0]["replicas"][1]["weight"] for pool in pools}


def established(pid: int, port: int) -> int:
    """How many clients a worker is connected to."""
    connections = psutil.Process(pid).net_connections()
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in connections)


async def until_running(replica: FakeReplica, calls: int) -> None:
    await replica.record.until(lambda: replica.running == calls)


async def test_load_is_seen_by_all_workers_and_falls_when_one_is_killed() -> None:
    async with (
        FakeReplica(script=Script(headers_delay_s=60)) as replica,
        herd(settings_for(replica, **SMALL)) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        count = 0
        # One whose process gets no time while clients come leaves them to the other.
        while count < 12 or min(established(pid, running.port) for pid in running.workers.pids) < 2:
            client = await stack.enter_async_context(raw_client(running.port))
            client.send(request_bytes(CHAT, ASK))
            count += 1
            await until_running(replica, count)
        pools = await running.from_each("/admin/v1/pools")
        assert {pool["data"][0]["replicas"][0]["in_flight"] for pool in pools} == {count}
        for pid in running.workers.pids:
            os.kill(pid, signal.SIGKILL)
        await until_running(replica, 0)
        await eventually(lambda: count_up(running.workers) == 2, 30)
        await until_ready(running.port)
        pools = await running.from_each("/admin/v1/pools")
        assert {pool["data"][0]["replicas"][0]["in_flight"] for pool in pools} == {0}


async def test_worker_that_does_not_answer_stops_the_change_and_not_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lmaas_gateway.workers._ANSWER_TIMEOUT_S", 1.0)
    async with FakeReplica() as replica, herd(settings_for(replica, **SMALL)) as running:
        stuck = min(running.workers.pids)
        os.kill(stuck, signal.SIGSTOP)
        try:
            with pytest.raises(InvalidConfigurationError, match="a worker did not answer within 1 s"):
                await running.configuration.change(ChangeReplica("mock-0", weight=2))
        finally:
            os.kill(stuck, signal.SIGCONT)
        pools = await running.from_each("/admin/v1/pools")
        assert {pool["data"][0]["replicas"][0]["weight"] for pool in pools} == {1}


async def test_readiness_tells_what_the_launcher_knows() -> None:
    STATES["mock"] = (ReplicaStatus("unix:/x", state="failed", last_error="no memory"),)
    try:
        async with FakeReplica() as replica, herd(settings_for(replica, **SMALL)) as running:
            told: set[str] = set()
            while told != {"no memory"}:
                replies = await running.from_each("/readyz")
                launches = [reply["models"]["mock"].get("launches") for reply in replies]
                told = {launch[0]["last_error"] if launch else "" for launch in launches}
    finally:
        STATES.clear()


def ignores_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


async def test_worker_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmaas_gateway.workers._KILL_AFTER_S", 0.1)
    settings = settings_for("http://127.0.0.1:1", open=True, workers=1, shutdown_timeout_s=0)
    with listen("127.0.0.1", 0) as listener:
        configuration = Configuration(settings, lambda: settings)
        workers = Workers(
            settings, (listener,), target=serve_forever, steering=configuration, launches=lambda _: ()
        )
        running = asyncio.create_task(workers.run(lambda _: None))
        await eventually(lambda: workers.pids)
        (pid,) = workers.pids
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
    # So slow that the calls of both workers meet, even where a worker is late for its own.
    async with FakeReplica(script=Script(headers_delay_s=0.4)) as replica:
        settings = settings_for(replica, **SMALL)
        (model,) = settings.models
        settings = settings.model_copy(update={"models": (model.model_copy(update={"max_in_flight": 6}),)})
        async with herd(settings) as running:
            asking = request_bytes(CHAT, ASK, "connection: close")
            replies = await asyncio.gather(*(ask(running.port, asking) for _ in range(30)))
        assert {reply.status for reply in replies} == {200}
        assert 5 <= peak(replica.calls) <= 6 + 1, "at most one more for each further worker"


async def test_signal_while_a_worker_is_started_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    is_started = asyncio.Event()

    class SlowChannel(Channel):
        @classmethod
        async def open(cls, end: socket.socket) -> Channel:
            is_started.set()
            await asyncio.sleep(1)
            return await Channel.open(end)

    monkeypatch.setattr("lmaas_gateway.workers.Channel", SlowChannel)
    settings = settings_for("http://127.0.0.1:1", open=True, workers=1, shutdown_timeout_s=30)
    with listen("127.0.0.1", 0) as listener:
        configuration = Configuration(settings, lambda: settings)
        workers = Workers(
            settings, (listener,), target=serve_worker, steering=configuration, launches=lambda _: ()
        )
        running = asyncio.create_task(workers.run(lambda _: None))
        await is_started.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await running
    assert not workers.pids
