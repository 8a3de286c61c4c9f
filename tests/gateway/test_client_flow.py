"""The client of a replica and its readers: chunks that pass as they stand, slow readers, those who leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.replica_clients import ASK, PATH, STREAM, call, client_of, read_all
from lmaas_gateway.replicas.connection import SIZE_LINES
from lmaas_gateway.replicas.faults import ReplicaBusyError, ReplicaClosedError
from lmaas_gateway.settings import TimeoutSettings
from lmaas_gateway.testing import FakeReplica, Fault, Framing, Outcome, Script
from support.stub import OK, read_request, stub_server

if TYPE_CHECKING:
    from lmaas_gateway.replicas.client import Exchange


class _Taker:
    """Takes a stream in its reader's place: chunks as they stand, as long as it is willing."""

    is_over = is_held = False

    def __init__(self, exchange: Exchange, *, is_willing: bool = True) -> None:
        self._exchange = exchange
        self._is_willing = is_willing
        self.taken = b""
        self.passed: list[bytes] = []

    def take(self) -> bool:
        self.taken += self._exchange.take()
        return True

    def pass_on(self, chunk: bytes, begin: int) -> bool:
        if self._is_willing:
            self.passed.append(chunk)
            self.taken += chunk[begin:-2]
        return self._is_willing


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def taken_of(*pieces: bytes, is_willing: bool = True) -> _Taker:
    """Have a taker take a reply that comes in these pieces, one after the other; then make another call."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED_HEAD + b"6\r\nfirst\n\r\n")
        for piece in (*pieces, b"0\r\n\r\n"):
            await asyncio.sleep(0.02)
            writer.write(piece)
        await read_request(reader)
        writer.write(OK)

    async with stub_server(serve) as port, client_of(f"http://127.0.0.1:{port}") as client:
        exchange = await client.post(PATH, STREAM)
        taker = _Taker(exchange, is_willing=is_willing)
        taker.taken = await exchange.read()
        while not exchange.is_whole:
            data = await exchange.read(taker)
            taker.taken += data
        assert exchange.is_drained
        exchange.close()
        assert await call(client) == (200, b"ok")
    return taker


class TestPassing:
    async def test_whole_chunks_are_offered_as_they_stand(self) -> None:
        chunks = [b"3\r\na\n\n\r\n", b"14\r\n" + b"b" * 18 + b"\n\n\r\n"]
        taker = await taken_of(*chunks)
        assert taker.passed == chunks
        assert taker.taken == b"first\na\n\n" + b"b" * 18 + b"\n\n"

    async def test_what_is_not_wanted_as_it_stands_is_taken_apart(self) -> None:
        taker = await taken_of(b"3\r\na\n\n\r\n", b"3\r\nb\n\n\r\n", is_willing=False)
        assert taker.taken == b"first\na\n\nb\n\n"

    @pytest.mark.parametrize(
        "pieces",
        [
            [b"3\r\na\n\n\r\n3\r\nb\n\n\r\n"],
            [b"8\r\na\n\n\r\n", b"b\n\n\r\n"],
            [b"3\r\na\n\n\r\n3\r\n", b"b\n\n\r\n"],
            [b"3\r\na\n\n", b"\r\n3\r\nb\n\n\r\n"],
            [b"03\r\na\n\n\r\n", b"3;x=1\r\nb\n\n\r\n"],
        ],
    )
    async def test_all_else_is_not(self, pieces: list[bytes]) -> None:
        taker = await taken_of(*pieces)
        assert taker.passed == []
        assert taker.taken.replace(b"\r", b"").replace(b"\n", b"") == b"firstab"

    async def test_data_that_looks_like_a_chunk_inside_of_one_is_taken_for_data(self) -> None:
        inner = b"3\r\nx\n\n\r\n"
        taker = await taken_of(b"%x\r\n\n\r\n" % (3 + len(inner)), inner, b"\r\n")
        assert taker.passed == []
        assert taker.taken == b"first\n\n\r\n" + inner

    @pytest.mark.parametrize("length", [1, 15, 16, 17, 255, 256, 4095, 4096, 70_000])
    async def test_chunks_of_any_length(self, length: int) -> None:
        chunk = b"%x\r\n%b\n\r\n" % (length, b"x" * (length - 1))
        assert is_as_long_as_it_says(chunk)
        assert not is_as_long_as_it_says(chunk[1:])
        assert not is_as_long_as_it_says(chunk[:-3] + b"\n\n\r\n")


class TestBackPressure:
    async def test_reader_that_does_not_read_holds_the_replica_back_without_idling(self) -> None:
        size = 16 * 2**20
        timeouts = TimeoutSettings(idle_s=0.3)
        script = Script(body="x" * size)
        async with FakeReplica(script=script) as replica, client_of(replica.url, timeouts=timeouts) as client:
            exchange = await client.post(PATH, ASK)
            await asyncio.sleep(0.8)
            (connection,) = client._busy
            assert connection.is_reading_paused
            assert connection._waiting_bytes < 2**20
            assert len(await read_all(exchange)) == size
            exchange.close()

    async def test_pause_of_the_reader_is_not_held_against_the_replica(self) -> None:
        resume = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 262202\r\n\r\n" + b"x" * 262_200)
            await resume.wait()
            # Longer than a sweep: the deadline that was set before the pause has passed by far.
            await asyncio.sleep(0.35)
            writer.write(b"ok")

        timeouts = TimeoutSettings(idle_s=0.6)
        async with (
            stub_server(serve) as port,
            client_of(f"http://127.0.0.1:{port}", timeouts=timeouts) as client,
        ):
            exchange = await client.post(PATH, ASK)
            await asyncio.sleep(0.9)
            (connection,) = client._busy
            assert connection.is_reading_paused
            resume.set()
            assert len(await read_all(exchange)) == 262_202
            exchange.close()

    async def test_connection_left_while_held_back_is_not_used_again(self) -> None:
        script = Script(body="x" * 300_000)
        async with FakeReplica(script=script) as replica, client_of(replica.url) as client:
            exchange = await client.post(PATH, ASK)
            while not exchange._connection.is_complete:  # type: ignore[union-attr]  # it is open
                await asyncio.sleep(0.01)
                if exchange._connection.is_reading_paused:  # type: ignore[union-attr]  # it is open
                    break
            exchange.close()
            assert len((await call(client))[1]) == 300_000

    async def test_connections_are_limited(self) -> None:
        async with (
            FakeReplica(script=Script(headers_delay_s=0.2)) as replica,
            client_of(replica.url, max_connections=2) as client,
        ):
            running = [asyncio.create_task(call(client)) for _ in range(2)]
            await replica.record.until(lambda: replica.running == 2)
            with pytest.raises(ReplicaBusyError):
                await call(client)
            assert [status for status, _ in await asyncio.gather(*running)] == [200, 200]
            assert (await call(client))[0] == 200


class TestLeaving:
    async def test_closing_an_unfinished_exchange_is_seen_by_the_replica(self) -> None:
        async with (
            FakeReplica(script=Script(tokens=1000, token_gap_s=0.01)) as replica,
            client_of(replica.url) as client,
        ):
            exchange = await client.post(PATH, STREAM)
            await exchange.read()
            exchange.close()
            await replica.record.until(lambda: replica.aborted == 1)

    async def test_cancelled_call_is_seen_by_the_replica(self) -> None:
        async with FakeReplica(script=Script(fault=Fault.HANG)) as replica, client_of(replica.url) as client:
            task = asyncio.create_task(call(client))
            await replica.record.until(lambda: replica.running == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await replica.record.until(lambda: replica.record.count(Outcome.ABORTED) == 1)

    @pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.EOF])
    async def test_closing_the_client_ends_what_is_in_flight_with_an_error(self, framing: Framing) -> None:
        script = Script(tokens=1000, token_gap_s=0.02, framing=framing)
        async with FakeReplica(script=script) as replica, client_of(replica.url) as client:
            await call(client, ASK[:-1] + b',"max_tokens":1}')
            exchange = await client.post(PATH, STREAM)
            client.close()
            with pytest.raises(ReplicaClosedError):
                await read_all(exchange)
            exchange.close()
            await replica.record.until(lambda: replica.record.open_connections == 0)


def is_as_long_as_it_says(chunk: bytes) -> bool:
    return chunk.startswith(SIZE_LINES[len(chunk)])
