"""Clients that write down everything they were told: the history that the invariants are checked against."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import httptools
import msgspec

from support.stub import request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

CHAT = "/v1/chat/completions"
KEY = "canary-key-5be03c1f9a7d"
PROMPT = "canary-prompt-e41d7700b2"
ASK: Mapping[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": PROMPT}]}
STREAM: Mapping[str, Any] = {**ASK, "stream": True}

Outcome = Literal["ok", "error", "interrupted", "left", "lost", "truncated"]
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINGER_ZERO = struct.pack("ii", 1, 0)


def asking(*, stream: bool = False, tokens: int = 8, **script: Any) -> dict[str, Any]:
    """The body of a chat call; what is not an argument of its own is a `Script` for the fake replica."""
    fields: dict[str, Any] = {**ASK, "max_tokens": tokens}
    if stream:
        fields["stream"] = True
    return fields | {"fake": script} if script else fields


@dataclass(slots=True)
class Told:
    """What one client was told, and when, by the system's monotonic clock."""

    request_id: str
    started_s: float
    is_stream: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    first_byte_s: float | None = None
    last_byte_s: float | None = None
    ended_s: float | None = None
    is_whole: bool = False
    has_left: bool = False
    _all_events: list[bytes] | None = field(default=None, repr=False, compare=False)

    @property
    def events(self) -> list[bytes]:
        """The whole events of a stream, comments left out."""
        if self._all_events is not None:
            return self._all_events
        whole = (event.strip(b"\r\n") for event in _EVENT_END.split(self.body)[:-1])
        events = [event for event in whole if event and not event.startswith(b":")]
        if self.ended_s is not None:
            # Of a long run each invariant looks at all of them.
            self._all_events = events
        return events

    @property
    def comments(self) -> int:
        """How many comments kept the stream alive."""
        return sum(event.startswith(b":") for event in _EVENT_END.split(self.body)[:-1])

    @property
    def is_done(self) -> bool:
        """Whether `[DONE]` came."""
        return b"data: [DONE]" in self.events

    @property
    def tokens(self) -> int:
        """How many events brought text, or the count in the usage of a plain reply."""
        if not self.is_stream:
            return int(self.json["usage"]["completion_tokens"]) if self.outcome == "ok" else 0
        return sum(b'"delta":{"content":"' in event and b'"role"' not in event for event in self.events)

    @property
    def json(self) -> Any:
        """A plain body."""
        return msgspec.json.decode(self.body)

    @property
    def has_reply(self) -> bool:
        """Whether a byte of a model's came: of a stream that nobody answered the only event is an error."""
        if self.status != 200:
            return False
        return not self.is_stream or (bool(self.events) and b'data: {"error"' not in self.events[0])

    @property
    def error(self) -> dict[str, Any]:
        """The error object: of the body, or of the last event of a stream; empty if there is none."""
        text = self.body
        if self.status == 200:
            text = self.events[-1].removeprefix(b"data: ") if self.is_stream and self.events else b"{}"
        try:
            error = msgspec.json.decode(text).get("error", {})
        except (msgspec.DecodeError, AttributeError):
            return {}
        return error if isinstance(error, dict) else {}

    @property
    def code(self) -> str:
        """The code of the error object; "" if there is none."""
        return str(self.error.get("code") or "")

    @property
    def took_s(self) -> float:
        """From the beginning of the call to its end."""
        assert self.ended_s is not None, "the call has not ended"
        return self.ended_s - self.started_s

    @property
    def outcome(self) -> Outcome:
        """How the call ended, as the client can know."""
        if self.has_left:
            return "left"
        if not self.is_whole:
            return "lost"
        if self.error:
            return "interrupted" if self.status == 200 else "error"
        if self.status != 200 or (self.is_stream and not self.is_done):
            return "truncated"
        return "ok"


class Talk:
    """One call under way: reads in a task of its own, and may be left at any moment."""

    def __init__(self, told: Told, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.told = told
        self.reader = reader
        self.writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def start_reading(self) -> None:
        """Read until the reply has ended."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._read())

    async def until_events(self, count: int, *, within_s: float = 10.0) -> None:
        """Wait until so many whole events have come, or the reply has ended."""
        self.start_reading()
        async with asyncio.timeout(within_s):
            while self.told.body.count(b"\n\n") < count and self.told.ended_s is None:
                self._changed.clear()
                await self._changed.wait()

    async def finish(self, *, within_s: float = 30.0) -> Told:
        """Wait for the end of the reply."""
        self.start_reading()
        assert self._task is not None
        async with asyncio.timeout(within_s):
            await self._task
        return self.told

    def leave(self, *, reset: bool = False) -> None:
        """Go, in order or with an RST."""
        self.told.has_left = True
        if reset:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self.writer.transport.abort()
        else:
            self.writer.close()
        self._end()

    async def close(self) -> None:
        """Close the connection; who had no whole reply has left."""
        if self.told.ended_s is None:
            self.leave()
        self.writer.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def _read(self) -> None:
        try:
            while self.told.ended_s is None and (data := await self.reader.read(65536)):
                self.told.last_byte_s = time.monotonic()
                self._parser.feed_data(data)
                self._changed.set()
        except OSError:
            pass
        except asyncio.CancelledError:
            self.told.has_left = True
            raise
        finally:
            self._end()

    def _end(self) -> None:
        if self.told.ended_s is None:
            self.told.ended_s = time.monotonic()
        self._changed.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.told.headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.told.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        # A comment keeps the connection alive; it is no part of the reply.
        if self.told.first_byte_s is None and not data.startswith(b":"):
            self.told.first_byte_s = time.monotonic()
        self.told.body += data

    def on_message_complete(self) -> None:
        self.told.is_whole = True
        self._end()


class History:
    """Every call that was made of one gateway, in order."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.calls: list[Told] = []

    def has_begun(self, calls: int) -> bool:
        """Whether so many calls were made, and each has had the first byte of its reply."""
        return len(self.calls) == calls and all(told.first_byte_s is not None for told in self.calls)

    @contextlib.asynccontextmanager
    async def open(
        self,
        fields: Mapping[str, Any],
        *headers: str,
        path: str = CHAT,
        key: str = KEY,
        receive_bytes: int | None = None,
    ) -> AsyncIterator[Talk]:
        """Send one call on a connection of its own; leaving the block before its end is leaving the call.

        Args:
            fields: The JSON body.
            headers: Further header lines.
            path: Where to.
            key: Of the caller.
            receive_bytes: The socket's receive buffer, for clients that read slowly.
        """
        request_id = f"call-{len(self.calls)}-{uuid.uuid4().hex[:8]}"
        told = Told(request_id, time.monotonic(), is_stream=bool(fields.get("stream")))
        self.calls.append(told)
        lines = (f"x-request-id: {request_id}", f"authorization: Bearer {key}", *headers)
        try:
            reader, writer = await _connect(self.port, receive_bytes)
        except BaseException:
            told.ended_s, told.has_left = time.monotonic(), True
            raise
        talk = Talk(told, reader, writer)
        writer.write(request_bytes(path, fields, *lines))
        try:
            yield talk
        finally:
            await talk.close()

    async def call(
        self, fields: Mapping[str, Any], *headers: str, key: str = KEY, within_s: float = 30.0
    ) -> Told:
        """Make one call, to its end."""
        async with self.open(fields, *headers, key=key) as talk:
            return await talk.finish(within_s=within_s)

    async def calls_of(self, *fields: Mapping[str, Any], within_s: float = 30.0) -> list[Told]:
        """Make calls at the same time, to their ends."""
        return list(await asyncio.gather(*(self.call(one, within_s=within_s) for one in fields)))


async def _connect(port: int, receive_bytes: int | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    limit = 65536 if receive_bytes is None else receive_bytes
    return await asyncio.open_connection(sock=sock, limit=limit)
