"""Connections that dawdle are ended, too many are turned away, and honest ones notice nothing of either."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from lmaas_gateway.api.connections import NEVER, Connections
from lmaas_gateway.api.protocol import GatewayProtocol
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.settings import ConnectionSettings, load_settings
from lmaas_gateway.testing import FakeReplica, Script
from support.serving import ASK, CHAT, STREAM, Running, run_gateway, settings_for
from support.stub import RawClient, raw_client, request_bytes

POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n"
QUICK = {"header_timeout_s": 0.2, "body_timeout_s": 0.2, "keep_alive_s": 0.2, "write_stall_s": 0.2}


def quick(replica: FakeReplica, **connections: Any) -> Any:
    return settings_for(replica, connections={**QUICK, **connections})


async def ended(running: Running, reason: str) -> bool:
    """Whether a connection was counted as ended for this reason."""
    text = (await running.get("/metrics")).body.decode()
    return f'lmaas_client_connections_ended_total{{reason="{reason}"}}' in text


async def rest(client: RawClient) -> bytes:
    async with asyncio.timeout(5):
        return await client.reader.read()


class TestDeadlines:
    async def test_connection_that_says_nothing_is_closed(self) -> None:
        async with FakeReplica() as replica, run_gateway(quick(replica)) as running:
            async with raw_client(running.port) as client:
                assert await rest(client) == b""
            assert await ended(running, "head_timeout")

    @pytest.mark.parametrize("begin", [b"G", b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx: "])
    async def test_half_a_head_gets_408(self, begin: bytes) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(quick(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(begin)
            answer = await rest(client)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"request_timeout"' in answer

    async def test_head_that_trickles_gets_408(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(quick(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(b"GET /livez HTTP/1.1\r\nhost: a\r\nx: ")
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    client.send(b"y")
                    await asyncio.sleep(0.01)
                    if client.reader.at_eof():
                        break
            assert (await rest(client)).startswith(b"HTTP/1.1 408 ")

    async def test_half_a_body_gets_408_with_its_request_id(self) -> None:
        async with FakeReplica() as replica, run_gateway(quick(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, ASK, "x-request-id: slow-1")[:-10])
                reply = await client.response()
                assert (reply.status, reply.error["code"]) == (408, "request_timeout")
                assert reply.headers["connection"] == "close"
                assert reply.headers["x-request-id"] == "slow-1"
                assert await rest(client) == b""
            line = await running.logged()
            assert (line["status"], line["code"]) == (408, "request_timeout")
            assert replica.requests == 0
            assert await ended(running, "body_timeout")

    async def test_body_that_trickles_gets_408(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(quick(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(POST + b"content-length: 100000\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    client.send(b" ")
                    await asyncio.sleep(0.01)
                    if client.reader.at_eof():
                        break
            assert (await rest(client)).startswith(b"HTTP/1.1 408 ")

    async def test_body_that_keeps_the_pace_may_take_longer(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(quick(replica)) as running,
            raw_client(running.port) as client,
        ):
            data = request_bytes(CHAT, {**ASK, "x": "y" * 3000})
            for at in range(0, len(data), 80):
                client.send(data[at : at + 80])
                await asyncio.sleep(0.015)
            assert (await client.response()).status == 200

    async def test_body_on_a_route_that_does_not_read_it_is_cut(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(quick(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(b"GET /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n")
            assert (await client.response()).status == 200
            assert await rest(client) == b""

    async def test_idle_connection_is_closed_without_a_word(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(quick(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(request_bytes(CHAT, ASK))
            assert (await client.response()).status == 200
            assert await rest(client) == b""

    async def test_second_head_has_its_own_deadline(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(quick(replica, keep_alive_s=5)) as running,
            raw_client(running.port) as client,
        ):
            client.send(request_bytes(CHAT, ASK))
            assert (await client.response()).status == 200
            await asyncio.sleep(0.3)
            client.send(b"GET ")
            assert (await rest(client)).startswith(b"HTTP/1.1 408 ")

    async def test_reply_may_take_longer_than_any_of_them(self) -> None:
        async with (
            FakeReplica(script=Script(token_gap_s=0.3)) as replica,
            run_gateway(quick(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(request_bytes(CHAT, STREAM) + b"GET /livez HT")
            assert b"[DONE]" in (await client.response()).body
            client.send(b"TP/1.1\r\nhost: a\r\n\r\n")
            assert (await client.response()).status == 200

    async def test_honest_calls_do_not_notice_500_loris(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:

            async def p99_s() -> float:
                times = []
                async with raw_client(running.port) as client:
                    for _ in range(300):
                        begun_s = time.perf_counter()
                        client.send(request_bytes(CHAT, ASK))
                        assert (await client.response()).status == 200
                        times.append(time.perf_counter() - begun_s)
                return sorted(times)[int(len(times) * 0.99)]

            alone_s = await p99_s()
            async with contextlib.AsyncExitStack() as stack:
                for number in range(500):
                    loris = await stack.enter_async_context(raw_client(running.port))
                    loris.send(
                        (b"", b"GET /livez HTTP/1.1\r\nx: ", POST + b"content-length: 9\r\n\r\n")[number % 3]
                    )
                crowded_s = await p99_s()
            assert crowded_s < max(5 * alone_s, 0.05)


class TestSlowReaders:
    async def test_client_that_stops_reading_is_cut_and_its_replica_freed(self) -> None:
        script = Script(events=("data: " + "x" * 60_000 + "\n\n",) * 2000)
        async with FakeReplica(script=script) as replica, run_gateway(quick(replica)) as running:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", running.port))
            await loop.sock_sendall(sock, request_bytes(CHAT, {**ASK, "stream": True}))
            await replica.record.until(lambda: replica.running == 1)
            await replica.record.until(lambda: replica.aborted == 1)
            assert (await running.logged())["status"] == 499
            assert running.in_flight == 0
            assert await ended(running, "slow_reader")
            sock.close()

    async def test_client_that_reads_slowly_but_steadily_is_not(self) -> None:
        script = Script(events=("data: " + "x" * 60_000 + "\n\n",) * 40)
        async with (
            FakeReplica(script=script) as replica,
            run_gateway(quick(replica)) as running,
            raw_client(running.port) as client,
        ):
            client.send(request_bytes(CHAT, {**ASK, "stream": True}))
            await client.head()
            size = 0
            with contextlib.suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(10):
                        data = await client.reader.read(40_000)
                    if not data:
                        break
                    size += len(data)
                    await asyncio.sleep(0.02)
            assert size > 2_400_000


class TestCaps:
    async def test_connection_above_the_cap_is_told_so(self) -> None:
        async with FakeReplica() as replica, run_gateway(quick(replica, max_connections=3)) as running:
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(3):
                    await stack.enter_async_context(raw_client(running.port))
                await running.until(lambda: len(running.gateway.connections) == 3)
                reply = await running.post(CHAT, ASK)
                assert (reply.status, reply.error["code"]) == (503, "too_many_connections")
                assert reply.headers["retry-after"] == "5"
                assert reply.headers["connection"] == "close"
            await running.until(lambda: len(running.gateway.connections) == 0)
            assert (await running.post(CHAT, ASK)).status == 200
            assert await ended(running, "too_many_total")

    async def test_address_above_its_cap_is_told_so(self) -> None:
        async with FakeReplica() as replica:
            settings = quick(replica, max_connections_per_address=2, exempt_addresses=("127.0.0.2",))
            async with run_gateway(settings) as running, contextlib.AsyncExitStack() as stack:
                for _ in range(2):
                    await stack.enter_async_context(raw_client(running.port))
                await running.until(lambda: len(running.gateway.connections) == 2)
                assert (await running.post(CHAT, ASK)).error["code"] == "too_many_connections"
                for _ in range(4):
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", running.port, local_addr=("127.0.0.2", 0)
                    )
                    stack.callback(writer.close)
                    writer.write(request_bytes(CHAT, ASK))
                    assert (await RawClient(reader, writer).response()).status == 200

    async def test_crowd_above_the_cap_is_closed_without_a_word(self) -> None:
        async with FakeReplica() as replica, run_gateway(quick(replica, max_connections=1)) as running:
            async with contextlib.AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(raw_client(running.port)) for _ in range(200)]
                closed = 0
                for client in clients[100:]:
                    with contextlib.suppress(ConnectionError):
                        await rest(client)
                    closed += 1
                assert closed == 100
            await running.until(lambda: len(running.gateway.connections) == 0)


class Idle:
    """A connection that does nothing."""

    deadline_s = write_deadline_s = NEVER
    group: str | None = None

    def expire(self, now_s: float) -> None:
        raise AssertionError(now_s)


@pytest.mark.parametrize(
    ("addresses", "is_full"),
    [
        (["10.0.0.1", "10.0.0.1", "10.0.0.1"], True),
        (["10.0.0.1", "10.0.0.1", "10.0.0.2"], False),
        (["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"], True),
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:9::3"], True),
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:1::3"], False),
        (["fe80::1%eth0", "fe80::2%eth0", "fe80::3%eth1"], True),
        (["127.0.0.1", "127.0.0.1", "127.0.0.1"], False),
        ([None, None, None], False),
        (["not an address"] * 3, True),
    ],
)
async def test_connections_are_counted_by_host(addresses: list[str | None], is_full: bool) -> None:
    connections = Connections(ConnectionSettings(max_connections_per_address=2), Metrics())
    idle = [Idle() for _ in addresses]
    refusals = [connections.admit(*pair) for pair in zip(idle, addresses, strict=True)]
    assert [refusal is not None for refusal in refusals] == [False, False, is_full]
    for connection, refusal in zip(idle, refusals, strict=True):
        connections.leave(connection, was_admitted=refusal is None)
    assert len(connections) == 0
    assert connections.admit(idle[0], addresses[0]) is None


async def test_new_settings_count_for_the_connections_that_come() -> None:
    connections = Connections(ConnectionSettings(max_connections=1), Metrics())
    assert connections.admit(Idle(), "10.0.0.1") is None
    assert connections.admit(Idle(), "10.0.0.1") is not None
    connections.follow(ConnectionSettings(max_connections=2, header_timeout_s=0.1))
    assert connections.admit(Idle(), "10.0.0.1") is None
    assert connections.settings.header_timeout_s == 0.1


async def test_few_files_lower_the_cap_but_leave_some_connections() -> None:
    for max_files, most in ((0, 8), (64, 8), (148, 50)):
        connections = Connections(ConnectionSettings(), Metrics(), max_files=max_files)
        refusals = [connections.admit(Idle(), None) for _ in range(60)]
        assert refusals.count(None) == most


def test_address_that_is_none_is_an_error_at_the_start() -> None:
    with pytest.raises(SettingsError, match="'proxy' is no address or network"):
        load_settings(flags={"connections": {"exempt_addresses": ("proxy",)}})
    environ = {"LMAAS_CONNECTIONS__EXEMPT_ADDRESSES": "10.0.0.7, 10.1.0.0/16"}
    assert load_settings(environ=environ).connections.exempt_addresses == ("10.0.0.7", "10.1.0.0/16")


class StuckTransport:
    """A client that reads nothing: what is written stays, and closing waits for it."""

    def __init__(self) -> None:
        self.written = b""
        self.is_aborted = self._is_closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def close(self) -> None:
        self._is_closing = True

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self._is_closing

    def get_extra_info(self, name: str) -> Any:
        return ("10.0.0.1", 1) if name in {"peername", "sockname"} else None

    def __getattr__(self, name: str) -> Any:
        return lambda: None


async def test_last_bytes_that_nobody_reads_do_not_keep_a_closed_connection() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"unread"})

    config = uvicorn.Config(application, interface="asgi3", ws="none", log_config=None, lifespan="off")
    connections = Connections(ConnectionSettings(write_stall_s=0.1), Metrics())
    protocol = GatewayProtocol(config, ServerState(), {}, connections=connections)
    transport = StuckTransport()
    protocol.connection_made(cast("asyncio.Transport", transport))
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        while not transport.is_aborted:
            await asyncio.sleep(0.01)
    assert transport.written.endswith(b"unread\r\n0\r\n\r\n")
    protocol.connection_lost(None)
    assert len(connections) == 0


class Late(Idle):
    """A connection that is late, and cannot be ended at first."""

    deadline_s = 0.0

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.is_expired = asyncio.Event()

    def expire(self, now_s: float) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise RuntimeError(now_s)
        self.deadline_s = NEVER
        self.is_expired.set()


async def test_one_that_cannot_be_ended_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    connections = Connections(ConnectionSettings(header_timeout_s=0.1), Metrics())
    late = [Late(2), Late(0), Late(2)]
    for connection in late:
        connections.admit(connection, None)
    async with asyncio.timeout(10):
        for connection in late:
            await connection.is_expired.wait()
    assert caplog.text.count("could not be ended") == 4


async def test_requests_whose_client_left_before_they_began_reach_no_replica(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        protocol = GatewayProtocol(
            running.server.config, running.server.server_state, {}, connections=running.gateway.connections
        )
        protocol.connection_made(cast("asyncio.Transport", StuckTransport()))
        protocol.data_received(2 * request_bytes(CHAT, ASK))
        protocol.connection_lost(None)
        line = await running.logged()
        assert (line["status"], line["outcome"]) == (499, "client_gone")
        assert replica.requests == 0
    assert caplog.text == ""


async def test_client_that_leaves_while_it_is_refused_is_a_client_that_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        protocol = GatewayProtocol(
            running.server.config, running.server.server_state, {}, connections=running.gateway.connections
        )
        protocol.connection_made(cast("asyncio.Transport", StuckTransport()))
        protocol.pause_writing()
        protocol.data_received(request_bytes(CHAT, {**ASK, "model": "nobody"}))
        await asyncio.sleep(0.05)
        assert not running.lines, "it waits until the client reads"
        protocol.connection_lost(None)
        line = await running.logged()
        assert (line["status"], line["outcome"]) == (499, "client_gone")
    assert caplog.text == ""
