"""One connection to Valkey or Redis: requests go out as they come, and replies come back in the same order.

The usual client takes a connection and a task for each request that is under way. A thousand calls at once
are a thousand requests here, and each of them needs a future and a look into the reply.

Source: Redis serialization protocol (RESP2), https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

Value = int | bytes | list["Value"] | None
_MAX_PENDING = 100_000


class WireError(Exception):
    """The server refused a request, or the connection has ended."""


class Wire(asyncio.Protocol):
    """A connection, once it is open."""

    def __init__(self) -> None:
        self._pending: deque[asyncio.Future[Value]] = deque()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, url: str) -> Wire:
        """Connect to `redis://user:password@host:port/db`, `rediss://…` for TLS, or `unix:///path`.

        Raises:
            OSError: there is no connection.
            WireError: the server does not take the password or the database.
        """
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        if parts.scheme == "unix":
            _, wire = await loop.create_unix_connection(cls, parts.path)
        else:
            tls = ssl.create_default_context() if parts.scheme in {"rediss", "valkeys"} else None
            host = parts.hostname or "127.0.0.1"
            _, wire = await loop.create_connection(cls, host, parts.port or 6379, ssl=tls)
        try:
            if parts.password:
                user = [unquote(parts.username).encode()] if parts.username else []
                await wire.ask(b"AUTH", *user, unquote(parts.password).encode())
            database = parts.path.strip("/") if parts.scheme != "unix" else ""
            if database not in {"", "0"}:
                await wire.ask(b"SELECT", database.encode())
        except BaseException:
            wire.close()
            raise
        return wire

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, *request: bytes) -> asyncio.Future[Value]:
        """Send a request; the future is done when its reply has come. Who loses interest lets it be."""
        future: asyncio.Future[Value] = self._loop.create_future()
        transport = self._transport
        if transport is None or transport.is_closing() or len(self._pending) >= _MAX_PENDING:
            future.set_exception(WireError("there is no connection"))
            return future
        self._pending.append(future)
        transport.write(_encode(request))
        return future

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio.Protocol)."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio.Protocol)."""
        self._transport = None
        for future in self._pending:
            if not future.done():
                future.set_exception(WireError(f"the connection ended: {exc}"))
                future.exception()  # whoever waited may have left
        self._pending.clear()

    def data_received(self, data: bytes) -> None:
        """Take what has come (asyncio.Protocol)."""
        buffer = self._buffer + data
        at = 0
        try:
            while at < len(buffer):
                value, at = _decode(buffer, at)
                self._give(value)
        except IndexError:
            pass  # the rest is still to come
        except ValueError:
            self.close()
        self._buffer = buffer[at:]

    def _give(self, value: Value | WireError) -> None:
        future = self._pending.popleft()
        if future.done():
            return
        if isinstance(value, WireError):
            future.set_exception(value)
            future.exception()
        else:
            future.set_result(value)


def _encode(request: Sequence[bytes]) -> bytes:
    parts = [b"*%d\r\n" % len(request)]
    parts += [b"$%d\r\n%b\r\n" % (len(part), part) for part in request]
    return b"".join(parts)


def _decode(buffer: bytes, at: int) -> tuple[Value | WireError, int]:
    """Read one value, and tell where it ends.

    Raises:
        IndexError: it has not come whole.
        ValueError: it is none.
    """
    end = buffer.find(b"\r\n", at)
    if end < 0:
        raise IndexError
    kind, line, after = buffer[at : at + 1], buffer[at + 1 : end], end + 2
    if kind == b":":
        return int(line), after
    if kind == b"+":
        return line, after
    if kind == b"-":
        return WireError(line.decode("utf-8", "replace")), after
    size = int(line)
    if kind == b"$":
        return _decode_text(buffer, after, size)
    if kind != b"*":
        raise ValueError
    values: list[Value] = []
    for _ in range(size):
        value, after = _decode(buffer, after)
        values.append(None if isinstance(value, WireError) else value)
    return values, after


def _decode_text(buffer: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    if size < 0:
        return None, at
    if len(buffer) < at + size + 2:
        raise IndexError
    return buffer[at : at + size], at + size + 2
