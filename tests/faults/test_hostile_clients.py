"""Clients that cost more than they are worth: F18, F19 and F21."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from typing import TYPE_CHECKING, Any

import pytest

from faults.clients import CHAT, KEY, asking
from faults.world import replicas_here, world_of
from support.stub import ask, raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AUTH = f"authorization: Bearer {KEY}"
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{AUTH}\r\n".encode()
LORIS = {
    "idle": b"",
    "half-head": HEAD[:-10],
    "half-body": HEAD + b"content-length: 1000\r\n\r\n{",
}
QUICK_CLIENTS = {"header_timeout_s": 1.0, "body_timeout_s": 1.0}


@contextlib.asynccontextmanager
async def loris(port: int, count: int, data: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that begin, and then do nothing."""
    pairs = []
    for _ in range(count):
        pairs.append(await asyncio.open_connection("127.0.0.1", port))
        pairs[-1][1].write(data)
    try:
        yield [reader for reader, _ in pairs]
    finally:
        for _, writer in pairs:
            writer.transport.abort()


async def until_closed(readers: list[asyncio.StreamReader]) -> None:
    async def drain(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            await reader.read()

    await asyncio.gather(*map(drain, readers))


@pytest.mark.alone
@pytest.mark.fault("F18")
@pytest.mark.parametrize("what", LORIS)
async def test_slow_loris_is_closed_and_unnoticed_by_honest_clients(what: str) -> None:
    async with replicas_here(1) as replicas, world_of(*replicas, connections=QUICK_CLIENTS) as world:
        alone = sorted([(await world.history.call(asking())).took_s for _ in range(20)])
        async with loris(world.gateway.port, 500, LORIS[what]) as readers:
            beside = sorted([(await world.history.call(asking())).took_s for _ in range(20)])
            async with asyncio.timeout(8):
                await until_closed(readers)
        assert beside[10] < 5 * alone[10] + 0.05


@pytest.mark.fault("F19")
async def test_announced_giant_is_refused_before_it_is_sent() -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        async with raw_client(world.gateway.port) as client:
            client.send(HEAD + b"content-length: %d\r\n\r\n{" % 2**30)
            reply = await client.response()
        assert (reply.status, reply.error["code"]) == (413, "body_too_large")
        assert not world.attempts()


@pytest.mark.fault("F19")
async def test_chunked_giant_is_refused_while_it_comes_and_is_not_held() -> None:
    chunk = b"10000\r\n" + b"x" * 2**16 + b"\r\n"
    async with replicas_here(1) as replicas, world_of(*replicas, max_body_bytes=2**20) as world:
        before = await world.gateway.vitals()
        sent = 0
        async with raw_client(world.gateway.port) as client:
            client.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                while sent < 2**26 and not client.reader.at_eof():
                    client.send(chunk)
                    sent += len(chunk)
                    await client.writer.drain()
                    await asyncio.sleep(0)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                assert (await client.response()).status == 413
        assert (await world.gateway.vitals()).rss_bytes - before.rss_bytes < 2**25
        assert not world.attempts()
        assert (await world.history.call(asking())).outcome == "ok"


@pytest.mark.fault("F19")
async def test_compressed_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"[" * 2**24)
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        reply = await ask(world.gateway.port, request_bytes(CHAT, bomb, AUTH, "content-encoding: gzip"))
        assert 400 <= reply.status < 500
        assert not world.attempts()


@pytest.mark.fault("F19")
async def test_many_messages_and_a_long_field_are_just_a_call() -> None:
    many = {**asking(), "messages": [{"role": "user", "content": "word"}] * 10_000}
    long = {**asking(), "messages": [{"role": "user", "content": "x" * 1_000_000}]}
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        assert [(await world.history.call(one)).outcome for one in (many, long)] == ["ok", "ok"]


SECOND = HEAD + b"content-length: 2\r\n\r\n{}"
SMUGGLING: dict[str, bytes] = {
    "length-and-chunked": HEAD + b"content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "two-lengths": HEAD + b"content-length: 2\r\ncontent-length: 60\r\n\r\n{}" + SECOND,
    "length-list": HEAD + b"content-length: 2, 60\r\n\r\n{}" + SECOND,
    "negative-length": HEAD + b"content-length: -1\r\n\r\n{}" + SECOND,
    "odd-encoding": HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "folded-header": HEAD + b"x-a: 1\r\n content-length: 60\r\ncontent-length: 2\r\n\r\n{}" + SECOND,
    "space-before-colon": HEAD + b"content-length : 60\r\ncontent-length: 2\r\n\r\n{}" + SECOND,
    "bare-lf": HEAD.replace(b"\r\n", b"\n") + b"content-length: 2\n\n{}" + SECOND,
    "nul-in-name": HEAD + b"x\x00a: 1\r\ncontent-length: 2\r\n\r\n{}" + SECOND,
    "two-hosts": HEAD + b"host: y\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.fault("F21")
@pytest.mark.parametrize("what", SMUGGLING)
async def test_ambiguous_request_is_refused_and_nothing_passes(what: str) -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        async with raw_client(world.gateway.port) as client:
            client.send(SMUGGLING[what])
            with contextlib.suppress(OSError):
                data = await asyncio.wait_for(client.reader.read(), 5)
                assert data.startswith(b"HTTP/1.1 400 ")
                assert data.count(b"HTTP/1.1 ") == 1, "what follows an ambiguous request is not read"
        assert not world.attempts()
        assert len(world.replicas[0].attempts()) == 4, "the calls of the warm-up only"


@pytest.mark.fault("F21")
async def test_replica_sees_no_header_of_the_client_but_those_that_are_meant_for_it() -> None:
    hostile: tuple[str, ...] = (
        "connection: keep-alive, x-secret",
        "x-secret: 1",
        "cookie: a=b",
        "forwarded: for=1.2.3.4",
        "x-forwarded-for: 1.2.3.4",
        "x-forwarded-host: evil",
        "proxy-authorization: Basic x",
        "te: trailers",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    async with replicas_here(1) as (replica,), world_of(replica) as world:
        async with world.history.open(asking(), *hostile) as talk:
            assert (await talk.finish()).outcome == "ok"
        seen: dict[str, Any] = dict(replica.fake.calls[-1].request.headers)
        expected = {
            "host",
            "accept-encoding",
            "content-type",
            "content-length",
            "x-request-id",
            "traceparent",
        }
        assert set(seen) <= expected | {"x-request-deadline-ms"}
        assert "evil" not in str(seen)


@pytest.mark.fault("F21")
async def test_no_client_can_have_its_key_taken_out_on_the_way() -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        lines = request_bytes(CHAT, asking(), AUTH, "connection: authorization")
        assert (await ask(world.gateway.port, lines)).status in {200, 400, 401}


@pytest.mark.fault("F21")
async def test_host_and_absolute_target_change_no_route() -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        started = time.monotonic()
        for head in (
            b"GET http://evil/metrics HTTP/1.1\r\nhost: evil\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nhost: a/?x=\r\n\r\n",
        ):
            async with raw_client(world.gateway.port) as client:
                client.send(head)
                reply = await client.response()
            assert reply.status in {400, 401, 404}, "the key is asked for, whatever the host"
        assert time.monotonic() - started < 5
