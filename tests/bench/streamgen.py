"""Holds many streams open at once and notes, for every event, when it came and how long it was on its way.

As a program it takes one `Crowd` as JSON. Streams are opened at a steady rate; once all are open, a window
begins, in which gaps and delays are noted and single short streams are opened to see how soon they begin.
It prints `begin` and `end` when the window does, and then, when every stream is over, `CrowdFigures` as JSON.

    python tests/bench/streamgen.py '{"address": "http://127.0.0.1:9001", "streams": 100, "tokens": 200}'

The replica is the fast one with `--stamps`: each token's text is the time it was sent, on this machine's
monotonic clock. To cost little, nothing is parsed: heads and events are found by their bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

_STAMP = b'"content":" '
_STAMP_DIGITS = 15
_DONE = b"data: [DONE]"
_END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """How many streams, how long, how fast they are opened.

    Attributes:
        tokens: Of each stream; it should outlast the window.
        opens_per_s: Streams opened a second.
        settle_s: Between the last stream's first event and the window.
        probes_per_s: Short streams opened in the window, to see how soon they begin.
    """

    address: str
    streams: int
    tokens: int
    model: str = "mock"
    key: str = "sk-benchmark-0000"
    opens_per_s: float = 400.0
    settle_s: float = 1.0
    window_s: float = 15.0
    probes_per_s: float = 20.0
    timeout_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdFigures:
    """What became of them; times in milliseconds, of the window alone but for `unfinished`.

    Attributes:
        events: Events that came in the window.
        longest_silence_ms: The longest time that any stream was without an event.
        unfinished: Streams without all of their tokens, their terminal event and the end of their body.
        first_event: Of the probes, from the request to the first event.
    """

    opened: int
    unfinished: int
    events: int
    seconds: float
    gap_p50_ms: float
    gap_p99_ms: float
    longest_silence_ms: float
    delay_p50_ms: float
    delay_p99_ms: float
    first_event_p50_ms: float
    first_event_p99_ms: float
    failed_probes: int


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest rank of sorted values; 0 of none."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def request_bytes(crowd: Crowd, tokens: int) -> bytes:
    """Write the request that opens a stream of so many tokens."""
    body = msgspec.json.encode(
        {
            "model": crowd.model,
            "messages": [{"role": "user", "content": "Explain paged attention in one paragraph."}],
            "max_tokens": tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(crowd.address).netloc}\r\n"
        f"authorization: Bearer {crowd.key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(slots=True)
class Notes:
    """What all streams write down, while it counts."""

    is_window: bool = False
    gaps_s: array[float] = field(default_factory=lambda: array("d"))
    delays_s: array[float] = field(default_factory=lambda: array("d"))
    longest_s: float = 0.0
    events: int = 0


class Stream(asyncio.Protocol):
    """One stream on a connection of its own."""

    def __init__(self, request: bytes, tokens: int, notes: Notes) -> None:
        self._request = request
        self._wanted_events = tokens + 3  # the opening one, usage and the terminal one
        self._notes = notes
        self._tail = b""
        self._events = 0
        self._is_ok = self._has_done = False
        self._last_s = 0.0
        self.sent_s = 0.0
        self.first_s = 0.0
        self.is_whole = False
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)
        self.sent_s = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count whole events, and note when they came."""
        now = time.monotonic()
        joint = self._tail + data
        # An event ends in a blank line; what comes after the last one is kept for the next time.
        ended = joint.rfind(b"\n\n") + 2
        if ended >= 2:
            if not self._events:
                self._begin(joint, now)
            events = joint.count(b"\n\n", 0, ended)
            self._events += events
            self._note(joint, events, now)
            self._last_s = now
        self._tail = joint[ended:] if ended >= 2 else joint
        if self._events >= self._wanted_events:
            self._finish(joint)

    def _finish(self, joint: bytes) -> None:
        self._has_done = self._has_done or _DONE in joint
        if self._tail.endswith(_END):
            self.is_whole = self._is_ok and self._has_done
            self._transport.close()

    def _begin(self, joint: bytes, now: float) -> None:
        self.first_s = self._last_s = now
        self._is_ok = joint.startswith(b"HTTP/1.1 200 ")
        self.begun.set_result(None)

    def _note(self, joint: bytes, events: int, now: float) -> None:
        notes = self._notes
        if not notes.is_window:
            return
        gap = now - self._last_s
        notes.gaps_s.append(gap)
        notes.longest_s = max(notes.longest_s, gap)
        notes.events += events
        # Of several events that came at once the first was longest on its way.
        at = joint.find(_STAMP)
        if at >= 0:
            sent = joint[at + len(_STAMP) : at + len(_STAMP) + _STAMP_DIGITS]
            if sent.isdigit():
                notes.delays_s.append(now - int(sent) / 1e6)

    def silence_s(self, now: float) -> float:
        """Tell how long nothing has come."""
        return now - (self._last_s or self.sent_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Be over."""
        del exc
        for future in (self.begun, self.over):
            if not future.done():
                future.set_result(None)


class Holder:
    """Opens the streams, keeps them through the window, and waits for their ends."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._url = urlsplit(crowd.address)
        self._notes = Notes()
        self._probes: list[Stream] = []
        self._failed = 0

    async def run(self) -> CrowdFigures:
        """Do all of it."""
        crowd, notes = self._crowd, self._notes
        streams = await self._open_all()
        await asyncio.sleep(crowd.settle_s)
        _say("begin")
        begun_s, notes.is_window = time.monotonic(), True
        await self._probe()
        now = time.monotonic()
        notes.is_window = False
        # Whoever still waits has been silent until now.
        waiting = [stream.silence_s(now) for stream in streams if not stream.over.done()]
        longest_s = max([notes.longest_s, *waiting])
        _say("end")
        await self._wait_for(streams)
        return self._figures(streams, now - begun_s, longest_s)

    async def _open_all(self) -> list[Stream]:
        """Open at a steady rate, and wait until each has begun or failed."""
        crowd, loop = self._crowd, asyncio.get_running_loop()
        request, begun_s = request_bytes(crowd, crowd.tokens), loop.time()
        streams, opening = [], set()
        for number in range(crowd.streams):
            await asyncio.sleep(begun_s + number / crowd.opens_per_s - loop.time())
            stream = Stream(request, crowd.tokens, self._notes)
            streams.append(stream)
            opening.add(asyncio.create_task(self._connect(stream)))
        await asyncio.wait(opening, timeout=crowd.timeout_s)
        await asyncio.wait([stream.begun for stream in streams], timeout=crowd.timeout_s)
        return streams

    async def _connect(self, stream: Stream) -> None:
        host, port = self._url.hostname or "127.0.0.1", self._url.port or 80
        try:
            await asyncio.get_running_loop().create_connection(lambda: stream, host, port)
        except OSError as error:
            stream.connection_lost(error)

    async def _probe(self) -> None:
        """Open short streams until the window is over."""
        crowd, loop = self._crowd, asyncio.get_running_loop()
        request, ends_s = request_bytes(crowd, 1), loop.time() + crowd.window_s
        while (left_s := ends_s - loop.time()) > 0:
            probe = Stream(request, 1, Notes())
            self._probes.append(probe)
            await self._connect(probe)
            await asyncio.sleep(min(left_s, 1 / crowd.probes_per_s))

    async def _wait_for(self, streams: Sequence[Stream]) -> None:
        await asyncio.wait([stream.over for stream in streams], timeout=self._crowd.timeout_s)

    def _figures(self, streams: Sequence[Stream], seconds: float, longest_s: float) -> CrowdFigures:
        gaps, delays = sorted(self._notes.gaps_s), sorted(self._notes.delays_s)
        firsts = sorted(probe.first_s - probe.sent_s for probe in self._probes if probe.is_whole)
        return CrowdFigures(
            opened=sum(stream.first_s > 0 for stream in streams),
            unfinished=sum(not stream.is_whole for stream in streams),
            events=self._notes.events,
            seconds=seconds,
            gap_p50_ms=quantile(gaps, 0.5) * 1e3,
            gap_p99_ms=quantile(gaps, 0.99) * 1e3,
            longest_silence_ms=longest_s * 1e3,
            delay_p50_ms=quantile(delays, 0.5) * 1e3,
            delay_p99_ms=quantile(delays, 0.99) * 1e3,
            first_event_p50_ms=quantile(firsts, 0.5) * 1e3,
            first_event_p99_ms=quantile(firsts, 0.99) * 1e3,
            failed_probes=len(self._probes) - len(firsts),
        )


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


async def hold(crowd: Crowd) -> CrowdFigures:
    """Hold one crowd of streams."""
    return await Holder(crowd).run()


def main() -> None:
    """Hold the crowd of the first argument."""
    # A collector's pause would look like the gateway's.
    gc.disable()
    _say(msgspec.json.encode(uvloop.run(hold(msgspec.json.decode(sys.argv[1], type=Crowd)))).decode())


if __name__ == "__main__":
    main()
