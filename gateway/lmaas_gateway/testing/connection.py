"""One client's connection to a fake replica: requests in, scripted replies out, one after another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from typing import Protocol, cast

import httptools

from lmaas_gateway.testing.plan import Finish, Generated, Wait, steps
from lmaas_gateway.testing.script import Fault, Script
from lmaas_gateway.testing.seen import Outcome, Record
from lmaas_gateway.testing.wire import Answer, Request

_LINGER_ZERO = struct.pack("ii", 1, 0)


class Desk(Protocol):
    """What a connection asks of the replica that it belongs to."""

    record: Record

    @property
    def keep_alive_s(self) -> float | None:
        """How long an idle connection is kept; None is for ever."""

    def reply(self, request: Request) -> tuple[Answer, Script]:
        """Decide what a request gets, and how it is sent."""


class _Broken(Exception):  # noqa: N818 - control flow within this module, not an error
    """The script has broken the connection."""


class Connection(asyncio.Protocol):
    """Serves keep-alive and pipelined requests; a client that leaves cancels what is under way."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Number the connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._number = self._desk.record.open_connection()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop whatever is under way: its client has gone."""
        del exc
        self._waiting.clear()
        if self._idle is not None:
            self._idle.cancel()
        if self._serving is not None:
            self._serving.cancel()
        self._desk.record.close_connection()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is no HTTP gets the connection closed."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def pause_writing(self) -> None:
        """Hold replies back: the client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._writable.set()

    def on_message_begin(self) -> None:
        """Start a request (httptools)."""
        if self._idle is not None:
            self._idle.cancel()
        self._url, self._headers, self._body = b"", dict[str, str](), bytearray()

    def on_url(self, url: bytes) -> None:
        """Collect the target (httptools)."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header (httptools)."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """Collect a piece of the body (httptools)."""
        self._body += data

    def on_message_complete(self) -> None:
        """Serve the request, after those that came before it (httptools)."""
        method = self._parser.get_method().decode("latin-1")
        path = self._url.partition(b"?")[0].decode("latin-1")
        keeps_alive = self._parser.should_keep_alive()
        self._waiting.append(Request(method, path, self._headers, bytes(self._body), keeps_alive))
        if self._serving is None:
            self._serving = asyncio.get_running_loop().create_task(self._serve_waiting())

    async def _serve_waiting(self) -> None:
        with contextlib.suppress(asyncio.CancelledError, _Broken):
            while self._waiting:
                await self._serve(self._waiting.popleft())
        self._serving = None

    async def _serve(self, request: Request) -> None:
        record = self._desk.record
        if request.method != "POST":
            record.probe(request.path)
            await self._play(*self._desk.reply(request), call=None)
            return
        call = record.open(request, self._number)
        try:
            await self._play(*self._desk.reply(request), call=call)
        except asyncio.CancelledError:
            record.settle(call, Outcome.ABORTED)
            raise
        except _Broken:
            record.settle(call, Outcome.BROKEN)
            raise
        record.settle(call, Outcome.FINISHED)

    async def _play(self, answer: Answer, script: Script, *, call: int | None) -> None:
        generated = 0
        for step in steps(answer, script):
            match step:
                case Generated(tokens):
                    generated = tokens
                case bytes():
                    await self._write(step, script.slice_bytes or max(len(step), 1), call, generated)
                    generated = 0
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Fault():
                    await self._break(step)
                case Finish():
                    self._finish(step, script)

    async def _write(self, data: bytes, size: int, call: int | None, tokens: int) -> None:
        for start in range(0, len(data), size):
            # Gives the loop a turn: a client that has left is noticed, and slices go out one by one.
            await asyncio.sleep(0)
            await self._writable.wait()
            if tokens and start + size >= len(data):
                # Just before they go: killed in between, it has not sent what it did not write down.
                self._desk.record.generated(call, tokens)
            self._transport.write(data[start : start + size])
            if call is not None:
                self._desk.record.sent(call, min(size, len(data) - start))

    async def _break(self, fault: Fault) -> None:
        if fault is Fault.HANG:
            await asyncio.get_running_loop().create_future()
        if fault is Fault.RESET:
            self.reset()
        else:
            self._transport.close()
        raise _Broken

    def _finish(self, finish: Finish, script: Script) -> None:
        if finish is Finish.CLOSE:
            self._transport.close()
            return
        keep_s = self._desk.keep_alive_s if script.close_idle_after_s is None else script.close_idle_after_s
        if keep_s is not None:
            self._idle = asyncio.get_running_loop().call_later(keep_s, self._transport.close)

    def reset(self) -> None:
        """Drop the connection at once, with an RST where the socket knows one."""
        if "_transport" not in vars(self):
            # Accepted, and not yet begun.
            return
        sock = self._transport.get_extra_info("socket")
        # A transport that has lost its connection has closed its socket already.
        if sock is not None and sock.fileno() >= 0 and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()
