"""The fault proxy: each toxic does to a connection what its name says, and is switched at run time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.testing import FaultProxy
from lmaas_gateway.testing.toxics import (
    Bandwidth,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
)
from support.stub import stub_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def proxied() -> AsyncIterator[FaultProxy]:
    async with stub_server(echo) as port, FaultProxy(f"http://127.0.0.1:{port}") as proxy:
        yield proxy


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.receive(len(data))

    async def receive(self, size: int = 65536, *, within_s: float = 5) -> bytes:
        async with asyncio.timeout(within_s):
            return await self.reader.readexactly(size) if size < 65536 else await self.reader.read()


@contextlib.asynccontextmanager
async def client_of(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def test_without_toxics_bytes_and_ends_pass_both_ways() -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        assert await client.ask(b"hello") == b"hello"
        assert (proxy.connections, proxy.open_connections) == (1, 1)
        client.writer.write_eof()
        assert await client.receive() == b""


async def test_toxic_strikes_open_connections_and_healing_spares_them() -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        assert await client.ask(b"a") == b"a"
        proxy.to_client.append(Timeout())
        client.writer.write(b"lost")
        with pytest.raises(TimeoutError):
            await client.receive(1, within_s=0.1)
        proxy.heal()
        assert await client.ask(b"b") == b"b"


async def test_latency_delays_and_does_not_add_up() -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.to_client.append(Latency(0.2))
        started = time.monotonic()
        for _ in range(20):
            client.writer.write(b"x")
            await asyncio.sleep(0.005)
        assert await client.receive(20) == b"x" * 20
        assert 0.2 <= time.monotonic() - started < 20 * 0.2


async def test_bandwidth_is_not_exceeded() -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.to_upstream.append(Bandwidth(100_000))
        started = time.monotonic()
        await client.ask(b"x" * 30_000)
        assert time.monotonic() - started >= 0.29


async def test_slow_close_holds_back_the_end_only() -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.to_client.append(SlowClose(0.2))
        assert await client.ask(b"a") == b"a"
        started = time.monotonic()
        client.writer.write_eof()
        assert await client.receive() == b""
        assert time.monotonic() - started >= 0.2


async def test_timeout_with_a_time_closes_after_it() -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.to_upstream.append(Timeout(0.05))
        client.writer.write(b"lost")
        assert await client.receive() == b""


async def test_silence_covers_the_end_too() -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.to_client.append(Timeout())
        client.writer.write_eof()
        with pytest.raises(TimeoutError):
            await client.receive(within_s=0.1)


@pytest.mark.parametrize("toxic", [ResetPeer(), ResetPeer(0.05)])
async def test_reset_peer_is_an_rst(toxic: Toxic) -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.to_client.append(toxic)
        client.writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await client.receive()


async def test_slicer_cuts_and_loses_nothing() -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.to_client += [Slicer(3, 0.001), Slicer(2)]
        assert await client.ask(b"abcdefgh") == b"abcdefgh"


@pytest.mark.parametrize("limit_bytes", [0, 3, 8])
async def test_limit_data_closes_at_the_limit(limit_bytes: int) -> None:
    async with proxied() as proxy, client_of(proxy) as client:
        proxy.to_client.append(LimitData(limit_bytes))
        client.writer.write(b"abcdefgh")
        assert await client.receive() == b"abcdefgh"[:limit_bytes]


async def test_down_refuses_and_drops_and_up_is_the_same_address() -> None:
    async with proxied() as proxy:
        async with client_of(proxy) as client:
            assert await client.ask(b"a") == b"a"
            await proxy.down()
            with pytest.raises(ConnectionResetError):
                await client.receive()
        with pytest.raises(ConnectionRefusedError):
            async with client_of(proxy):
                pass
        await proxy.up()
        async with client_of(proxy) as client:
            assert await client.ask(b"b") == b"b"


async def test_upstream_that_is_away_is_a_reset() -> None:
    async with FaultProxy("127.0.0.1:1") as proxy, client_of(proxy) as client:
        with pytest.raises(ConnectionResetError):
            await client.receive()


async def test_client_that_vanishes_ends_the_upstream_connection() -> None:
    async with proxied() as proxy:
        async with client_of(proxy) as client:
            await client.ask(b"a")
            client.writer.transport.abort()
        async with asyncio.timeout(5):
            while proxy.open_connections:
                await asyncio.sleep(0.005)
