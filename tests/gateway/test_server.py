"""The server as a process: it takes its port, says when it is ready, serves, and stops when told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.processes import group_members
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.server import listen, serve
from lmaas_gateway.settings import Settings
from lmaas_gateway.testing import FakeReplica, Script
from support.processes import finish, served, stop
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import ask, raw_client, request_bytes

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_to_serve_is_said_before_anything_is_begun() -> None:
    with pytest.raises(SettingsError, match="no model to serve; name one"):
        serve(Settings(), report=lambda _: None)


def test_port_that_is_taken_is_said_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}: Address already in use; choose another"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_address_that_is_not_this_machines(host: str) -> None:
    with pytest.raises(SettingsError, match="cannot listen on") as caught:
        listen(host, 0)
    assert "Unknown error" not in str(caught.value)


def test_ipv6() -> None:
    with contextlib.closing(listen("::1", 0)) as listener:
        assert listener.family is socket.AF_INET6


async def test_serves_logs_and_stops_at_ctrl_c(tmp_path: Path) -> None:
    async with FakeReplica() as replica, served(replica, tmp_path) as (process, port):
        assert (await ask(port, request_bytes(CHAT, ASK))).status == 200
        (line,) = await stop(process, signal.SIGINT)
    assert json.loads(line)["completion_tokens"] == 16


async def test_stream_that_runs_at_the_signal_is_finished(tmp_path: Path) -> None:
    async with (
        FakeReplica(script=Script(tokens=30, token_gap_s=0.02)) as replica,
        served(replica, tmp_path) as (process, port),
        raw_client(port) as client,
    ):
        client.send(request_bytes(CHAT, {**STREAM, "max_tokens": 30}))
        await client.head()
        stopping = asyncio.create_task(stop(process))
        body = b""
        while piece := await client.chunk():
            body += piece
        (line,) = await stopping
    assert body.endswith(b"data: [DONE]\n\n")
    assert json.loads(line)["outcome"] == "ok"


async def test_second_signal_stops_at_once(tmp_path: Path) -> None:
    async with (
        FakeReplica(script=Script(headers_delay_s=60)) as replica,
        served(replica, tmp_path) as (process, port),
        raw_client(port) as client,
    ):
        client.send(request_bytes(CHAT, ASK))
        await replica.record.until(lambda: replica.running == 1)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        async with asyncio.timeout(20):
            (line,) = await stop(process)
        assert (await client.response()).error["code"] == "server_shutting_down"
        await replica.record.until(lambda: replica.aborted == 1)
    assert json.loads(line)["code"] == "server_shutting_down"


@pytest.mark.parametrize("is_told_twice", [False, True])
async def test_call_whose_client_does_not_read_at_the_end_has_its_line(
    tmp_path: Path, *, is_told_twice: bool
) -> None:
    script = Script(events=("data: " + "x" * 60_000 + "\n\n",) * 2000)
    timeout = f"shutdown_timeout_s: {30 if is_told_twice else 1}"
    async with FakeReplica(script=script) as replica, served(replica, tmp_path, timeout) as (process, port):
        with socket.create_connection(("127.0.0.1", port)) as stuck:
            stuck.sendall(request_bytes(CHAT, STREAM))
            await replica.record.until(lambda: replica.running == 1)
            await asyncio.sleep(1)
            if is_told_twice:
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.3)
            (line,) = await stop(process)
    assert json.loads(line)["code"] == "server_shutting_down"


async def test_readiness_ends_at_the_signal_and_calls_are_taken_for_the_drain_delay(tmp_path: Path) -> None:
    async with (
        FakeReplica() as replica,
        served(replica, tmp_path, "drain_delay_s: 1.0") as (process, port),
    ):
        ready = request_bytes("/readyz", b"", method="GET")
        assert (await ask(port, ready)).status == 200
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        reply = await ask(port, ready)
        assert (reply.status, reply.json["status"]) == (503, "shutting down")
        assert "retry-after" in reply.headers
        assert (await ask(port, request_bytes("/livez", b"", method="GET"))).status == 200
        assert (await ask(port, request_bytes(CHAT, ASK))).status == 200
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        with pytest.raises(ConnectionError):
            await ask(port, ready)


async def test_second_signal_cuts_the_drain_delay_short(tmp_path: Path) -> None:
    async with FakeReplica() as replica, served(replica, tmp_path, "drain_delay_s: 60") as (process, _):
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def test_access_log_can_be_off() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica, access_log=False)) as running:
        assert (await running.post(CHAT, ASK)).status == 200
    assert running.lines == []


async def test_several_workers_all_follow_the_file(tmp_path: Path) -> None:
    async with (
        FakeReplica() as old,
        FakeReplica() as new,
        served(old, tmp_path, "workers: 2", "probe_interval_s: 0.05") as (process, port),
    ):
        path = tmp_path / "lmaas.yaml"
        path.write_text(path.read_text().replace(old.url, new.url))
        process.send_signal(signal.SIGHUP)
        in_a_row = 0
        # What one worker serves by, all do, if not in the same moment.
        async with asyncio.timeout(20):
            while in_a_row < 10:
                count = len(new.record.calls)
                assert (await ask(port, request_bytes(CHAT, ASK))).status == 200
                in_a_row = in_a_row + 1 if len(new.record.calls) > count else 0
        path.write_text("workers: 3")
        process.send_signal(signal.SIGHUP)
        assert (await ask(port, request_bytes(CHAT, ASK))).status == 200
        await stop(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_to_the_whole_group_lets_the_workers_finish(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with (
        FakeReplica(script=Script(token_gap_s=0.05)) as replica,
        served(replica, tmp_path, "workers: 2") as (process, port),
        raw_client(port) as client,
    ):
        client.send(request_bytes(CHAT, {**STREAM, "max_tokens": 40}))
        await client.head()
        # As `killpg` does, with a parent that is slow to pass it on.
        for pid in sorted(group_members(process.pid), reverse=True):
            if pid == process.pid:
                await asyncio.sleep(0.1)
            os.kill(pid, number)
        body = b""
        while piece := await client.chunk():
            body += piece
        (line,) = await finish(process)
    assert body.endswith(b"data: [DONE]\n\n")
    assert json.loads(line)["outcome"] == "ok"


@pytest.mark.parametrize("pause_s", [0.3, 1.2])
async def test_second_signal_stops_the_workers_soon(tmp_path: Path, pause_s: float) -> None:
    async with (
        FakeReplica(script=Script(headers_delay_s=60)) as replica,
        served(replica, tmp_path, "workers: 2", "shutdown_timeout_s: 30") as (process, port),
        raw_client(port) as client,
    ):
        client.send(request_bytes(CHAT, ASK))
        await replica.record.until(lambda: replica.running == 1)
        os.killpg(process.pid, signal.SIGTERM)
        await asyncio.sleep(pause_s)
        os.killpg(process.pid, signal.SIGTERM)
        async with asyncio.timeout(20):
            (line,) = await finish(process)
    assert json.loads(line)["code"] == "server_shutting_down"


async def test_admin_api_has_a_listener_of_its_own_in_all_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    key = "operators-key-of-this-test"
    said: list[bytes] = []
    lines = ("admin: {port: 0}", f"admin_key: {key}", "workers: 2")
    async with (
        FakeReplica() as replica,
        served(replica, tmp_path, *lines, is_open=False, said=said) as (process, port),
    ):
        (line,) = [line for line in said if line.startswith(b"The admin API is at 127.0.0.1:")]
        admin_port = int(line.split(b":")[1].split(b"/")[0])
        bearer = f"authorization: Bearer {key}"
        for _ in range(8):
            me = request_bytes("/admin/v1/me", b"", bearer, method="GET")
            assert (await ask(admin_port, me)).json["kind"] == "operator"
            assert (await ask(port, me)).status == 404
        await stop(process)
