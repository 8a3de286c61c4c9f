"""Closed-loop HTTP load on one address: each connection sends its next call when the last one is over.

As a program it takes one `Load` as JSON, and prints one `Figures` as JSON; the benchmark runs it pinned to
a core of its own. A stream counts as good only with status 200, every token's event and the terminal event.

    python tests/bench/loadgen.py '{"address": "http://127.0.0.1:9001", "requests": 1000, "stream": true}'
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

_PATHS = {"chat": "/v1/chat/completions", "embeddings": "/v1/embeddings"}
_USAGE = re.compile(rb'"completion_tokens":\s*(\d+)')
_DONE = b"data: [DONE]"
_TAIL_BYTES = 2048
_SENTENCE = "Explain paged attention in one paragraph. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send, where, and how much of it.

    Attributes:
        address: `http://host:port` or `unix:/path/to.sock`.
        hold: Open one stream a connection, print how many, and keep them until standard input ends.
        exact_tokens: Ask vLLM to ignore the end of the text, so that every run generates equally much.
    """

    address: str
    kind: Literal["chat", "embeddings"] = "chat"
    model: str = "mock"
    key: str = "sk-benchmark-0000"
    connections: int = 32
    requests: int = 1000
    stream: bool = False
    tokens: int = 64
    prompt_chars: int = 400
    exact_tokens: bool = False
    hold: bool = False
    timeout_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One call: seconds to its end and to its first body byte, events and tokens of a stream."""

    latency_s: float
    first_byte_s: float
    events: int
    tokens: int
    is_good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run came to; events and tokens are those of streams, errors count calls."""

    requests: int
    errors: int
    seconds: float
    events: int
    tokens: int
    p50_ms: float
    p99_ms: float
    first_byte_p50_ms: float
    first_byte_p99_ms: float

    @property
    def calls_per_s(self) -> float:
        """Calls ended, good ones and others."""
        return self.requests / self.seconds

    @property
    def tokens_per_s(self) -> float:
        """Tokens as the replies' own usage counts them."""
        return self.tokens / self.seconds


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-len(ordered) * round(share * 1000) // 1000)
    return ordered[max(rank, 1) - 1]


def figures(samples: Sequence[Sample], *, wanted: int, seconds: float) -> Figures:
    """Sum up a run; calls that were wanted and never ended are errors too."""
    latencies = [sample.latency_s * 1e3 for sample in samples]
    first_bytes = [sample.first_byte_s * 1e3 for sample in samples]
    good = sum(sample.is_good for sample in samples)
    return Figures(
        requests=len(samples),
        errors=wanted - good,
        seconds=seconds,
        events=sum(sample.events for sample in samples),
        tokens=sum(sample.tokens for sample in samples),
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        first_byte_p50_ms=percentile(first_bytes, 0.5),
        first_byte_p99_ms=percentile(first_bytes, 0.99),
    )


def request_bytes(load: Load) -> bytes:
    """Write the one request that a run repeats."""
    text = (_SENTENCE * (load.prompt_chars // len(_SENTENCE) + 1))[: load.prompt_chars]
    fields: dict[str, object] = {"model": load.model}
    if load.kind == "chat":
        roles = (("system", "You are helpful."), ("user", text))
        fields["messages"] = [{"role": role, "content": content} for role, content in roles]
        fields |= {"max_tokens": load.tokens, "temperature": 0.7}
        if load.exact_tokens:
            fields |= {"temperature": 0, "ignore_eos": True, "min_tokens": load.tokens}
        if load.stream:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
    else:
        fields["input"] = text
    body = msgspec.json.encode(fields)
    head = (
        f"POST {_PATHS[load.kind]} HTTP/1.1\r\nhost: {urlsplit(load.address).netloc or 'localhost'}\r\n"
        f"authorization: Bearer {load.key}\r\ncontent-type: application/json\r\naccept: */*\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(slots=True)
class EventCounter:
    """Counts server-sent events over any slicing of the bytes, and keeps the end of the stream."""

    events: int = 0
    tail: bytes = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece of a body."""
        # A blank line may be cut in two, so the last byte of the piece before counts once more.
        joint = self.tail[-1:] + data
        self.events += joint.count(b"\n\n")
        self.tail = (self.tail + data)[-_TAIL_BYTES:]

    @property
    def is_complete(self) -> bool:
        """Whether the terminal event has come."""
        return _DONE in self.tail

    @property
    def tokens(self) -> int:
        """Completion tokens of the last usage in sight."""
        found = _USAGE.findall(self.tail)
        return int(found[-1]) if found else 0


@dataclass(slots=True)
class Run:
    """What the connections of one run share."""

    load: Load
    raw: bytes
    left: int
    samples: list[Sample] = field(default_factory=list)
    opened: int = 0
    all_open: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> bool:
        """Claim one call, if any is left."""
        self.left -= 1
        return self.left >= 0

    def note_open(self) -> None:
        """Note that one more stream has begun."""
        self.opened += 1
        if self.opened == self.load.connections:
            self.all_open.set()


class Caller(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._load = run.load
        self._sent_at: float | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first call."""
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        if not self._run.take():
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._counter, self._first_at, self._length = EventCounter(), 0.0, 0
        self._sent_at = time.perf_counter()
        self._transport.write(self._run.raw)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is no HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_body(self, data: bytes) -> None:
        """Take a piece of a body (httptools)."""
        if not self._first_at:
            self._first_at = time.perf_counter()
            self._run.note_open()
        self._length += len(data)
        if self._load.stream:
            self._counter.feed(data)

    def on_message_complete(self) -> None:
        """Note the call and send the next (httptools)."""
        self._note(is_whole=True)
        if self._parser.should_keep_alive():
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._transport.close()

    def _note(self, *, is_whole: bool) -> None:
        if self._sent_at is None:
            return
        now, counter = time.perf_counter(), self._counter
        is_good = is_whole and self._parser.get_status_code() == 200 and self._length > 0
        if self._load.stream:
            is_good = is_good and counter.is_complete and counter.events >= self._load.tokens
        first_byte_s = (self._first_at or now) - self._sent_at
        sample = Sample(now - self._sent_at, first_byte_s, counter.events, counter.tokens, is_good)
        self._run.samples.append(sample)
        self._sent_at = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a call that was under way as an error."""
        del exc
        self._note(is_whole=False)
        if not self.lost.done():
            self.lost.set_result(None)


async def _connect(run: Run) -> Caller:
    loop, address = asyncio.get_running_loop(), run.load.address
    if address.startswith("unix:"):
        _, caller = await loop.create_unix_connection(lambda: Caller(run), address.removeprefix("unix:"))
    else:
        url = urlsplit(address)
        host, port = url.hostname or "127.0.0.1", url.port or 80
        _, caller = await loop.create_connection(lambda: Caller(run), host, port)
    return caller


async def _keep_calling(run: Run) -> None:
    while run.left > 0:
        try:
            caller = await _connect(run)
        except OSError:
            run.take()
            continue
        await caller.lost


async def drive(load: Load) -> Figures:
    """Run one load to its end, or to its timeout."""
    run = Run(load, request_bytes(load), load.requests)
    started = time.perf_counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(load.timeout_s), asyncio.TaskGroup() as group:
            for _ in range(load.connections):
                group.create_task(_keep_calling(run))
    return figures(run.samples, wanted=load.requests, seconds=time.perf_counter() - started)


async def hold(load: Load) -> None:
    """Open one stream a connection, print how many are open, keep them until standard input ends."""
    run = Run(load, request_bytes(load), load.connections)
    for _ in range(load.connections):
        await _connect(run)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(run.all_open.wait(), load.timeout_s)
    sys.stdout.write(f"{run.opened}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Run the load of the first argument."""
    load = msgspec.json.decode(sys.argv[1], type=Load)
    if load.hold:
        uvloop.run(hold(load))
    else:
        sys.stdout.write(msgspec.json.encode(uvloop.run(drive(load))).decode() + "\n")


if __name__ == "__main__":
    main()
