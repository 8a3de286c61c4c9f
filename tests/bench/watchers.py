"""People at the live page: so many streams of server-sent events, held open until standard input ends.

As a program it takes one `Watch` as JSON. It prints `open` once each of them has had its first event, and in
the end what came since then, as `Watched` in JSON.

    python tests/bench/watchers.py '{"address": "http://127.0.0.1:8000", "cookie": "…", "count": 50}'
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

_OPEN_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who looks.

    Attributes:
        address: Of the gateway.
        cookie: Header of a browser that is signed in.
        count: How many look.
    """

    address: str
    cookie: str
    count: int

    def request_bytes(self) -> bytes:
        """Write what each of them asks."""
        host = urlsplit(self.address).netloc
        return f"GET /ui/live HTTP/1.1\r\nhost: {host}\r\ncookie: {self.cookie}\r\n\r\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What they saw, all together, and for how long."""

    events: int
    received_bytes: int
    seconds: float


@dataclass(slots=True)
class Viewer(asyncio.Protocol):
    """One of them."""

    request: bytes
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    events: int = 0
    received_bytes: int = 0
    last: bytes = b""
    is_lost: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        cast("asyncio.Transport", transport).write(self.request)

    def data_received(self, data: bytes) -> None:
        """Count the ends of events: there are no other empty lines in a stream, whose JSON has none."""
        if not self.received_bytes and not data.startswith(b"HTTP/1.1 200 "):
            self.is_lost = True
        self.received_bytes += len(data)
        self.events += (self.last + data).count(b"\n\n")
        self.last = data[-1:]
        if self.events or self.is_lost:
            self.begun.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it sees no more."""
        del exc
        self.is_lost = True
        self.begun.set()


async def watch(wanted: Watch) -> Watched:
    """Look until standard input ends.

    Raises:
        SystemExit: one of them was not let in, or saw the stream end.
    """
    viewers = [await _begin(wanted) for _ in range(wanted.count)]
    async with asyncio.timeout(_OPEN_WITHIN_S):
        for viewer in viewers:
            await viewer.begun.wait()
    seen = sum(viewer.events for viewer in viewers)
    received_bytes = sum(viewer.received_bytes for viewer in viewers)
    begun_s = time.monotonic()
    _say("open")
    await asyncio.to_thread(sys.stdin.read)
    if lost := sum(viewer.is_lost for viewer in viewers):
        sys.exit(f"{lost} of {wanted.count} see nothing")
    return Watched(
        events=sum(viewer.events for viewer in viewers) - seen,
        received_bytes=sum(viewer.received_bytes for viewer in viewers) - received_bytes,
        seconds=time.monotonic() - begun_s,
    )


async def _begin(wanted: Watch) -> Viewer:
    viewer, where = Viewer(wanted.request_bytes()), urlsplit(wanted.address)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: viewer, where.hostname or "127.0.0.1", where.port or 80)
    return viewer


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _say(msgspec.json.encode(uvloop.run(watch(msgspec.json.decode(sys.argv[1], type=Watch)))).decode())
