"""What an event costs the load generator of `lmaas bench`, and whether it keeps pace with many of them.

A thousand streams are open at once, from a server in the same event loop that writes one event to each and
then lets the loop run: every event is a read of its own, the worst that can happen. The server's part is
measured alone, and taken off. What comes out is CPU time, which a busy machine does not falsify.

    python tests/bench/generator_cost.py --streams 1000 --events 100

With `--events-per-s` the server is a process of its own, on another core, that gives each stream so many
events a second whether or not they are read: open loop. The generator has one core. Needs a quiet machine of
two cores; exits with 1 if fewer than 99 % of the events came while all streams were open.

    python tests/bench/generator_cost.py --streams 1000 --events-per-s 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, cast

import uvloop

from lmaas import AsyncLMaaS, DefaultAioHttpClient
from lmaas.measuring._generator import _watching_itself
from lmaas.measuring._prompts import Prompt
from lmaas.measuring._rows import Row
from lmaas.measuring._sender import Habits, Sender

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_TICK_S = 0.002
_SETTLES_S = 1.0
"""After the last stream has opened, until what is measured begins."""
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_PROMPT = Prompt({"messages": [{"role": "user", "content": "Explain paged attention."}]}, 100)


def event(text: str | None, finish: str | None = None) -> bytes:
    """Return an event as vLLM sends it, in chunked coding."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-9f2c8c2f1b7f4b0f8f6e2d8d0f5a3b1c",
        "object": "chat.completion.chunk",
        "created": 1764150000,
        "model": "smollm2-135m-instruct",
        "choices": [choice],
    }
    data = b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


_EVENT = event(" token")
_END = event("", "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Server(asyncio.Protocol):
    """Opens a stream for each connection, and keeps it."""

    def __init__(self, streams: list[asyncio.Transport]) -> None:
        self._streams = streams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection (asyncio)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer the call at the end of its body (asyncio)."""
        if data.rstrip().endswith(b"}"):
            self._transport.write(_HEAD)
            self._streams.append(self._transport)


class Sink(asyncio.Protocol):
    """Takes bytes and does nothing with them: what is left is the server's part."""

    def __init__(self) -> None:
        self.received = 0

    def data_received(self, data: bytes) -> None:
        """Count (asyncio)."""
        self.received += len(data)


@dataclass(frozen=True)
class Cost:
    """CPU time in microseconds; all of both ends, and of the server with a client that only reads bytes."""

    both_us: float
    server_us: float
    seen: int

    @property
    def generator_us(self) -> float:
        """What an event costs the generator."""
        return self.both_us - self.server_us


async def write_all(streams: list[asyncio.Transport], events: int) -> float:
    """Write `events` to each stream, one at a time; return the CPU time of an event, in microseconds."""
    begun_s = time.process_time()
    for _ in range(events):
        for stream in streams:
            stream.write(_EVENT)
        for _ in range(3):  # the loop polls, reads, and runs what the reads woke
            await asyncio.sleep(0)
    return (time.process_time() - begun_s) / (events * len(streams)) * 1e6


async def opened(streams: list[asyncio.Transport], wanted: int) -> None:
    """Wait until so many streams are open."""
    while len(streams) < wanted:
        await asyncio.sleep(0.01)


async def measure(wanted: int, events: int) -> Cost:
    """Measure both ends with the generator, and the server with sinks."""
    loop = asyncio.get_running_loop()
    streams: list[asyncio.Transport] = []
    server = await loop.create_server(lambda: Server(streams), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    async with AsyncLMaaS(
        base_url=f"http://127.0.0.1:{port}",
        api_key=None,
        timeout=None,
        max_retries=0,
        circuit_breaker=False,
        http_client=DefaultAioHttpClient(max_connections=wanted),
    ) as client:
        sender = Sender(client, Habits(model="m"))
        now_s = time.perf_counter()
        calls = [
            asyncio.create_task(sender.send(_PROMPT, index=n, due_s=0, begun_s=now_s)) for n in range(wanted)
        ]
        await opened(streams, wanted)
        both_us = await write_all(streams, events)
        for stream in streams:
            stream.write(_END)
        rows: list[Row] = await asyncio.gather(*calls)
    streams.clear()
    sinks = [(await loop.create_connection(Sink, "127.0.0.1", port))[0] for _ in range(wanted)]
    for sink in sinks:
        sink.write(b"POST / HTTP/1.1\r\n\r\n{}")
    await opened(streams, wanted)
    server_us = await write_all(streams, events)
    for sink in sinks:
        sink.close()
    server.close()
    assert all(row.is_answered for row in rows)
    return Cost(both_us, server_us, sum(len(row.gaps_s) + 1 for row in rows))


@dataclass(frozen=True)
class Pace:
    """How the generator kept up while all streams were open."""

    offered_per_s: float
    received_per_s: float
    open_s: float
    cpu_share: float
    gap_p99_s: float
    lag_p99_s: float
    server_lag_p99_s: float

    @property
    def is_kept(self) -> bool:
        """Whether the events came as they were sent; a window in whole events may miss one a stream."""
        return self.received_per_s >= 0.99 * self.offered_per_s

    def __str__(self) -> str:
        return (
            f"{self.received_per_s:,.0f} of {self.offered_per_s:,.0f} events/s for {self.open_s:.1f} s, "
            f"with {self.cpu_share:.0%} of one core; gaps p99 {self.gap_p99_s * 1e3:.1f} ms, "
            f"timers late p99 {self.lag_p99_s * 1e3:.1f} ms, the server's "
            f"{self.server_lag_p99_s * 1e3:.1f} ms: {'keeps pace' if self.is_kept else 'is behind'}"
        )


async def serve_paced(pipe: Connection, events_per_s: float, events: int) -> None:
    """Give each stream so many events a second, `events` in all; tell the port, and in the end the lag."""
    loop = asyncio.get_running_loop()
    opened: list[asyncio.Transport] = []
    server = await loop.create_server(lambda: Server(opened), "127.0.0.1", 0, backlog=4096)
    pipe.send(server.sockets[0].getsockname()[1])
    slots = max(1, round(1 / (events_per_s * _TICK_S)))
    streams: list[dict[asyncio.Transport, int]] = [{} for _ in range(slots)]
    lags_s: list[float] = []
    begun_s, tick = time.perf_counter(), 0
    while not pipe.poll():
        tick += 1
        due_s = begun_s + tick / (events_per_s * slots)
        await asyncio.sleep(max(due_s - time.perf_counter(), 0))
        lags_s.append(max(time.perf_counter() - due_s, 0.0))
        slot = streams[tick % slots]
        for stream, left in list(slot.items()):
            stream.write(_EVENT if left else _END)
            slot[stream] = left - 1
            if not left:
                del slot[stream]
        for stream in opened:  # each into the slot whose turn is furthest off
            slot[stream] = events
        opened.clear()
    server.close()
    pipe.send(p99(lags_s))


def _serve_paced(pipe: Connection, events_per_s: float, events: int) -> None:
    pin(-1)
    uvloop.run(serve_paced(pipe, events_per_s, events))


async def keep_pace(port: int, streams: int, events_per_s: float, seconds: float) -> Pace:
    """Open streams evenly over as long as they are to be open together; return how that went."""
    begun_s = time.perf_counter()
    cpu_s: list[float] = []
    async with (
        AsyncLMaaS(
            base_url=f"http://127.0.0.1:{port}",
            api_key=None,
            timeout=None,
            max_retries=0,
            circuit_breaker=False,
            http_client=DefaultAioHttpClient(max_connections=streams),
        ) as client,
        _watching_itself(time.perf_counter) as watch,
        asyncio.TaskGroup() as calls,
    ):
        sender, tasks = Sender(client, Habits(model="m")), []
        for index in range(streams):
            due_s = seconds * index / streams
            await asyncio.sleep(max(begun_s + due_s - time.perf_counter(), 0))
            send = sender.send(_PROMPT, index=index, due_s=due_s, begun_s=begun_s)
            tasks.append(calls.create_task(send))
        for end_s in (seconds + _SETTLES_S, 2 * seconds):
            await asyncio.sleep(max(begun_s + end_s - time.perf_counter(), 0))
            cpu_s.append(time.process_time())
    rows = [task.result() for task in tasks]
    assert all(row.is_answered for row in rows)
    open_s = seconds - _SETTLES_S
    at_s = [at for row in rows for at in arrivals(row)]
    received = sum(seconds + _SETTLES_S <= at < 2 * seconds for at in at_s)
    return Pace(
        offered_per_s=streams * events_per_s,
        received_per_s=received / open_s,
        open_s=open_s,
        cpu_share=(cpu_s[1] - cpu_s[0]) / open_s,
        gap_p99_s=p99([gap for row in rows for gap in row.gaps_s]),
        lag_p99_s=p99(watch.loop_lags_s),
        server_lag_p99_s=0.0,  # which the server knows
    )


def arrivals(row: Row) -> Iterator[float]:
    """Yield when each event of a call came, in seconds from the beginning of all."""
    return accumulate((row.due_s + (row.ttft_s or 0.0), *row.gaps_s))


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] if ordered else 0.0


def pin(which: int) -> None:
    """Run on one core alone: the first that this process may use, or the last (-1)."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[which]})


def measure_pace(streams: int, events_per_s: float, seconds: float) -> Pace:
    """Measure with a server of its own core; streams last twice as long as they take to open."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    events = math.ceil(2 * seconds * events_per_s) + 1
    server = spawning.Process(target=_serve_paced, args=(theirs, events_per_s, events), daemon=True)
    server.start()
    pin(0)
    try:
        pace = uvloop.run(keep_pace(ours.recv(), streams, events_per_s, seconds))
        ours.send("ends")
        return replace(pace, server_lag_p99_s=ours.recv())
    finally:
        server.join(5)
        server.kill()


def main() -> int:
    """Print the cost of an event, or the pace that the generator keeps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--events-per-s", type=float, help="of each stream: measure the pace instead")
    parser.add_argument("--seconds", type=float, default=10.0, help="of all streams together, for the pace")
    options = parser.parse_args()
    if options.events_per_s is not None:
        pace = measure_pace(options.streams, options.events_per_s, options.seconds)
        sys.stdout.write(f"{options.streams} streams: {pace}\n")
        return 0 if pace.is_kept else 1
    cost = uvloop.run(measure(options.streams, options.events))
    assert cost.seen == options.streams * options.events
    sys.stdout.write(
        f"{options.streams} streams: {cost.generator_us:.1f} us of CPU an event "
        f"(both ends {cost.both_us:.1f}, server {cost.server_us:.1f}): "
        f"{1e6 / cost.generator_us:,.0f} events/s a core\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
