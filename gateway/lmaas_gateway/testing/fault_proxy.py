"""A TCP proxy that makes a good network bad, switched at run time.

async with FaultProxy(replica.url) as proxy:      # proxy.url stands in for replica.url
    proxy.to_client.append(Latency(0.3))          # from now on, on open connections too
    proxy.heal()
    await proxy.down()                            # refuse, and drop what is open
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Self
from urllib.parse import urlsplit

from lmaas_gateway.testing.toxics import Piece, Toxic

_READ_BYTES = 64 * 1024
# Pieces on their way in one direction; beyond them the sender waits.
_MAX_WAITING = 64
_LINGER_ZERO = struct.pack("ii", 1, 0)


class FaultProxy:
    """Passes connections on to one upstream; `async with` starts and stops it.

    Args:
        upstream: `http://host:port`, `unix:/path`, or either without a scheme.

    Attributes:
        to_upstream: Toxics on what clients send, in order.
        to_client: Toxics on what the upstream answers, in order.
        connections: How many have been accepted.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._port = 0
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.to_upstream: list[Toxic] = []
        self.to_client: list[Toxic] = []
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return len(self._pairs)

    async def up(self) -> None:
        """Listen; after `down`, on the same port again."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, backlog=1024)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def down(self) -> None:
        """Refuse new connections and drop the open ones, as a host that reboots."""
        if self._server is not None:
            self._server.close()
            self.reset()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def heal(self) -> None:
        """Take all toxics away; bytes that were dropped stay lost."""
        self.to_upstream.clear()
        self.to_client.clear()

    def reset(self) -> None:
        """Break every open connection with an RST."""
        for pair in tuple(self._pairs):
            pair.reset()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.down()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            _reset(writer)
            return
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                pair.pump(reader, far_writer, self.to_upstream),
                pair.pump(far_reader, writer, self.to_client),
            )
        finally:
            self._pairs.discard(pair)
            pair.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.startswith("unix:"):
            return await asyncio.open_unix_connection(self._upstream.removeprefix("unix:"))
        parts = urlsplit(self._upstream if "//" in self._upstream else f"//{self._upstream}")
        return await asyncio.open_connection(parts.hostname, parts.port)


class _Pair:
    """A client's connection and the upstream's that belongs to it."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers

    def reset(self) -> None:
        """Break both with an RST."""
        for writer in self._writers:
            _reset(writer)

    def close(self) -> None:
        """Close both in order."""
        for writer in self._writers:
            writer.close()

    async def pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxics: Sequence[Toxic]
    ) -> None:
        """Carry one direction until its end; `toxics` may change meanwhile."""
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue(_MAX_WAITING)
        link = _Link(self)
        filling = asyncio.get_running_loop().create_task(_fill(reader, pieces))
        try:
            while (piece := await pieces.get()) is not None:
                async for ready in _through(piece, tuple(toxics), link):
                    if writer.is_closing():
                        raise ConnectionResetError
                    writer.write(ready.data)
                    link.passed_bytes += len(ready.data)
                    await writer.drain()
            for toxic in tuple(toxics):
                await toxic.end(link)
            if not writer.is_closing():
                writer.write_eof()
        except OSError:
            # The receiver is gone: so is the way back.
            self.close()
        finally:
            filling.cancel()


class _Link:
    """One direction, for its toxics."""

    def __init__(self, pair: _Pair) -> None:
        self.passed_bytes = 0
        self.reset = pair.reset
        self.close = pair.close


async def _fill(reader: asyncio.StreamReader, pieces: asyncio.Queue[Piece | None]) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await reader.read(_READ_BYTES):
            await pieces.put(Piece(data, loop.time()))
    await pieces.put(None)


async def _through(piece: Piece, toxics: Sequence[Toxic], link: _Link) -> AsyncIterator[Piece]:
    if not toxics:
        yield piece
        return
    async for changed in toxics[0].apply(piece, link):
        async for ready in _through(changed, toxics[1:], link):
            yield ready


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0 and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()
