"""What an event costs the load generator of `lmaas bench`: CPU time, which a busy machine does not falsify.

A thousand streams are open at once, from a server in the same event loop that writes one event to each and
then lets the loop run: every event is a read of its own, the worst that can happen. The server's part is
measured alone, and taken off.

    python tests/bench/generator_cost.py --streams 1000 --events 100
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import cast

import uvloop

from lmaas import AsyncLMaaS, DefaultAioHttpClient
from lmaas.measuring._prompts import Prompt
from lmaas.measuring._rows import Row
from lmaas.measuring._sender import Habits, Sender

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
    while len(streams) < wanted:  # noqa: ASYNC110 - connections are opened within the same loop
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


def main() -> int:
    """Print the cost of an event, and how many a second one core drives."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100)
    options = parser.parse_args()
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
