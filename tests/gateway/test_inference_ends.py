"""The inference endpoint over real sockets: clients that leave, a gateway that stops, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
from typing import Any

import pytest

from lmaas_gateway.api.cycle import Cycle
from lmaas_gateway.meter import Meter
from lmaas_gateway.testing import FakeReplica, Fault, Point, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import RawClient, raw_client, request_bytes

SLOW = Script(tokens=1000, token_gap_s=0.02)


LINGER_ZERO = struct.pack("ii", 1, 0)


async def leave(client: RawClient, *, with_reset: bool) -> None:
    sock = client.writer.get_extra_info("socket")
    if with_reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    client.writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await client.writer.wait_closed()


LONG: dict[str, Any] = {**ASK, "pad": "x" * 300_000}


class TestClientGone:
    @pytest.mark.parametrize("with_reset", [False, True])
    @pytest.mark.parametrize(
        ("fields", "script"),
        [
            (STREAM, Script(headers_delay_s=30)),
            (STREAM, Script(fault=Fault.HANG, fault_at=Point.AFTER_HEADERS)),
            (ASK, Script(headers_delay_s=30)),
            (ASK, Script(fault=Fault.HANG, fault_at=Point.INSIDE_EVENT)),
            (LONG, Script(headers_delay_s=30)),
            ({**LONG, "stream": True}, Script(headers_delay_s=30)),
        ],
    )
    async def test_before_the_first_token_frees_the_replica(
        self, fields: dict[str, Any], script: Script, with_reset: bool
    ) -> None:
        async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, fields))
                await replica.record.until(lambda: replica.running == 1)
                await leave(client, with_reset=with_reset)
            await replica.record.until(lambda: replica.aborted == 1)
            line = await running.logged()
            assert (line["status"], line["outcome"]) == (499, "client_gone")
            assert running.in_flight == 0

    @pytest.mark.parametrize("with_reset", [False, True])
    async def test_in_the_middle_of_a_stream_frees_the_replica(self, with_reset: bool) -> None:
        async with FakeReplica(script=SLOW) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, {**ASK, "stream": True}))
                await client.head()
                await client.chunk()
                await leave(client, with_reset=with_reset)
            await replica.record.until(lambda: replica.aborted == 1)
            line = await running.logged()
            assert (line["status"], line["outcome"], line["stream"]) == (499, "client_gone", True)
            assert line["first_byte_ms"] > 0
            assert running.in_flight == 0

    async def test_while_it_does_not_read_frees_the_replica(self) -> None:
        script = Script(events=("data: " + "x" * 60_000 + "\n\n",) * 2000)
        async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, {**ASK, "stream": True}))
                await client.head()
                await replica.record.until(lambda: replica.running == 1)
                sent = -1
                while replica.calls[0].sent_bytes != sent:
                    sent = replica.calls[0].sent_bytes
                    await asyncio.sleep(0.1)
                assert sent < 100_000_000
                await leave(client, with_reset=True)
            await replica.record.until(lambda: replica.aborted == 1)
            assert (await running.logged())["status"] == 499
            assert running.in_flight == 0

    async def test_within_its_upload_reaches_no_replica(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, ASK)[:-10])
                await asyncio.sleep(0.05)
            assert (await running.logged())["status"] == 499
            assert replica.requests == 0

    async def test_within_a_long_upload_reaches_no_replica(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, LONG)[:-10])
                await asyncio.sleep(0.05)
            assert (await running.logged())["status"] == 499
            assert replica.requests == 0

    async def test_with_another_request_in_the_pipe_frees_the_replica(self) -> None:
        async with FakeReplica(script=SLOW) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, {**ASK, "stream": True}) + request_bytes(CHAT, ASK))
                await client.head()
                await client.chunk()
                await leave(client, with_reset=True)
            await replica.record.until(lambda: replica.aborted == 1)
            assert (await running.logged())["status"] == 499
            assert replica.requests == 1

    async def test_after_its_reply_is_nothing(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            assert (await running.post(CHAT, ASK)).status == 200
            assert (await running.logged())["outcome"] == "ok"


class TestShutdown:
    @pytest.mark.parametrize(("fields", "code"), [(ASK, 503), (STREAM, 200)])
    async def test_call_that_outlasts_the_gateway_is_told(self, fields: dict[str, Any], code: int) -> None:
        script = Script(tokens=1000, token_gap_s=0.02) if code == 200 else Script(headers_delay_s=30)
        ask = {**fields, "max_tokens": 1000}
        async with FakeReplica(script=script) as replica:
            async with (
                run_gateway(settings_for(replica, shutdown_timeout_s=0)) as running,
                raw_client(running.port) as client,
            ):
                client.send(request_bytes(CHAT, ask))
                if code == 200:
                    await client.head()
                    await client.chunk()
                else:
                    await replica.record.until(lambda: replica.running == 1)
                running.server.should_exit = True
                async with asyncio.timeout(5):
                    answer = await client.reader.read()
            assert b"server_shutting_down" in answer
            assert b"[DONE]" not in answer
            assert running.log[0]["code"] == "server_shutting_down"
            assert running.log[0]["status"] == code
            assert running.in_flight == 0


class TestMemory:
    @pytest.mark.parametrize("fields", [ASK, STREAM, {**ASK, "model": "nobody"}, {**ASK, "n": -1}])
    async def test_calls_leave_nothing_behind_that_only_the_garbage_collector_finds(
        self, fields: dict[str, Any]
    ) -> None:
        """Ten thousand such objects would stop all streams for ten milliseconds."""
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica)) as running,
            raw_client(running.port) as client,
        ):
            gc.collect()
            gc.disable()
            try:
                for _ in range(12):
                    client.send(request_bytes(CHAT, fields))
                    await client.response()
                left = [type(one) for one in gc.get_objects() if isinstance(one, Cycle | Meter)]
            finally:
                gc.enable()
        assert left.count(Cycle) <= 2, left
        assert left.count(Meter) <= 2, left
