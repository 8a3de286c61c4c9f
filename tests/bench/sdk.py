"""What the SDK costs, beside openai-python in the same run; writes docs/benchmarks-sdk.md with `--write`.

    python tests/bench/sdk.py --write

The server is another process; figures are the client process's own CPU time, best of several rounds, and each
library runs in a process of its own so that none pays for another's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import multiprocessing
import os
import platform
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:  # run as a file
    sys.path[0] = str(Path(__file__).parents[1])  # not this folder: it has an sdk.py

from sdk.hostile import CHAT_BODY, DONE, STREAM_HEAD, chat_event, chunked, reply

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks-sdk.md"
EVENTS = 501
MESSAGES: Any = [{"role": "user", "content": "word " * 50}]
ROUNDS = 5
LIBRARIES = ("httpx", "openai", "lmaas", "lmaas[aiohttp]")


def server(ports: Queue[int]) -> None:
    """Answer as a chat and embedding server would, from bytes made beforehand."""
    events = [chunked(chat_event("tok")) for _ in range(EVENTS - 1)]
    events += [chunked(chat_event(finish="stop")), chunked(DONE), chunked(b"")]
    source = random.Random(1)
    vector = base64.b64encode(array("f", [source.random() for _ in range(1024)]).tobytes()).decode()
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(16)]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    vectors = json.dumps({"object": "list", "model": "m", "data": data, "usage": usage}).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                if b'"stream":true' in body.replace(b" ", b""):
                    writer.write(STREAM_HEAD)
                    for event in events:
                        writer.write(event)
                        await writer.drain()
                        await asyncio.sleep(0)  # one write an event, as engines send them
                else:
                    writer.write(reply(vectors if b"/embeddings" in head[:60] else CHAT_BODY))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        listener = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
        ports.put(listener.sockets[0].getsockname()[1])
        await listener.serve_forever()

    asyncio.run(run())


def cpu_us(work: Callable[[], object], calls: int) -> float:
    """Return the CPU time of a call, the best of several rounds, in microseconds."""
    work()
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(calls):
            work()
        best = min(best, (time.process_time() - started) / calls)
    return best * 1e6


async def at_once(
    call: Callable[[], Awaitable[object]], calls: int = 1000, flying: int = 50
) -> dict[str, float]:
    """Return calls a second and CPU µs a call with `flying` under way at any time, the best of rounds."""
    rates, spent_us = [], []
    for _ in range(ROUNDS):
        left = iter(range(calls))

        async def work(left: Any = left) -> None:
            for _ in left:
                await call()

        started, cpu_s = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(flying)))
        rates.append(calls / (time.perf_counter() - started))
        spent_us.append((time.process_time() - cpu_s) / calls * 1e6)
    return {"async_per_s": max(rates), "async_us": min(spent_us)}


def rss_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def leaked_mib(work: Callable[[], object], calls: int = 10_000) -> float:
    """Return how much resident memory grows over so many calls, warm ones left out."""
    for _ in range(1000):
        work()
    gc.collect()
    before = rss_mib()
    for _ in range(calls):
        work()
    gc.collect()
    return rss_mib() - before


def sync_figures(client: Any) -> dict[str, float]:
    """Measure a synchronous client that is called as openai's is."""

    def call() -> None:
        client.chat.completions.create(model="m", messages=MESSAGES)

    def stream() -> None:
        chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        if sum(1 for _ in chunks) != EVENTS:
            raise RuntimeError("a stream was not whole")

    def helper() -> None:
        with client.chat.completions.stream(model="m", messages=MESSAGES) as chunks:
            chunks.get_final_completion()

    def embed() -> None:
        client.embeddings.create(model="m", input=["x"] * 16)

    return {
        "call_us": cpu_us(call, 200),
        "chunk_us": cpu_us(stream, 3) / EVENTS,
        "helper_us": cpu_us(helper, 3) / EVENTS,
        "embed_ms": cpu_us(embed, 20) / 1e3,
        "leak_mib": leaked_mib(call),
    }


async def async_figures(client: Any) -> dict[str, float]:
    """Measure an asynchronous client that is called as openai's is."""

    async def call() -> None:
        await client.chat.completions.create(model="m", messages=MESSAGES)

    async with client:
        await at_once(call, calls=100)
        return await at_once(call)


def httpx_figures(url: str) -> dict[str, float]:
    """Measure httpx alone, which reads JSON into dictionaries and checks nothing."""
    import httpx  # noqa: PLC0415 - each library in a process of its own

    headers = {"authorization": "Bearer k"}
    client = httpx.Client(timeout=60, headers=headers)
    body = {"model": "m", "messages": MESSAGES}

    def stream() -> None:
        with client.stream("POST", f"{url}/chat/completions", json={**body, "stream": True}) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    json.loads(line[6:])

    call_us = cpu_us(lambda: client.post(f"{url}/chat/completions", json=body).json(), 200)
    return {"call_us": call_us, "chunk_us": cpu_us(stream, 3) / EVENTS}


def figures(library: str, url: str) -> dict[str, float]:
    """Measure one library in this process."""
    if library == "httpx":
        return httpx_figures(url)
    if library == "openai":
        import openai  # noqa: PLC0415 - each library in a process of its own

        measured = sync_figures(openai.OpenAI(base_url=url, api_key="k"))
        return measured | asyncio.run(async_figures(openai.AsyncOpenAI(base_url=url, api_key="k")))
    import lmaas  # noqa: PLC0415 - each library in a process of its own

    if library == "lmaas":
        measured = sync_figures(lmaas.LMaaS(base_url=url, api_key="k"))
        return measured | asyncio.run(async_figures(lmaas.AsyncLMaaS(base_url=url, api_key="k")))
    fast: Any = lmaas.DefaultAioHttpClient

    async def run() -> dict[str, float]:
        return await async_figures(lmaas.AsyncLMaaS(base_url=url, api_key="k", http_client=fast()))

    return asyncio.run(run())


IMPORT = """
import resource, sys, time
def rss_mib():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
cpu_s, before_mib = time.process_time(), rss_mib()
exec(sys.argv[1])
print((time.process_time() - cpu_s) * 1e3, rss_mib() - before_mib)
"""


CLIENTS = {
    "httpx": "httpx.Client()",
    "openai": "openai.OpenAI(base_url='http://h/v1', api_key='k')",
    "lmaas": "lmaas.LMaaS(base_url='http://h/v1', api_key='k')",
}


def import_figures(library: str) -> dict[str, float]:
    """Measure an import, and an import with a first client."""
    import_ms, import_mib = start_figures(f"import {library}")
    client_ms, client_mib = start_figures(f"import {library}; client = {CLIENTS[library]}")
    return {
        "import_ms": import_ms,
        "import_mib": import_mib,
        "client_ms": client_ms,
        "client_mib": client_mib,
    }


def start_figures(program: str) -> tuple[float, float]:
    """Run `program` in fresh processes, byte code written before; return CPU ms and MiB over bare Python."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        environ["PYTHONPYCACHEPREFIX"] = folder
        for _ in range(ROUNDS + 1):
            command = [sys.executable, "-c", IMPORT, program]
            out = subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout
            runs.append(tuple(map(float, out.split())))
    return min(run[0] for run in runs[1:]), min(run[1] for run in runs[1:])


def measure() -> dict[str, dict[str, float]]:
    """Measure every library, one after another, against one server."""
    spawn = multiprocessing.get_context("spawn")
    ports: Any = spawn.Queue()
    process = spawn.Process(target=server, args=(ports,), daemon=True)
    process.start()
    try:
        url = f"http://127.0.0.1:{ports.get(timeout=30)}/v1"
        return {library: _measured_apart(library, url) for library in LIBRARIES}
    finally:
        process.kill()
        process.join()


def _measured_apart(library: str, url: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", library, "--url", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{library} could not be measured: {done.stderr.splitlines()[-1:]}\n")
        return {}
    measured: dict[str, float] = json.loads(done.stdout)
    return measured if library.endswith("]") else measured | import_figures(library)


ROWS: Sequence[tuple[str, str, str]] = (
    ("import, CPU ms", "import_ms", "{:.0f}"),
    ("import, MiB over bare Python", "import_mib", "{:.1f}"),
    ("import and a first client, CPU ms", "client_ms", "{:.0f}"),
    ("import and a first client, MiB", "client_mib", "{:.1f}"),
    ("synchronous call, client CPU µs", "call_us", "{:.0f}"),
    ("streamed chunk, client CPU µs", "chunk_us", "{:.1f}"),
    ("chunk of `chat.completions.stream`, client CPU µs", "helper_us", "{:.1f}"),
    ("embeddings of 16 x 1,024, client CPU ms", "embed_ms", "{:.2f}"),
    ("asynchronous, 50 in flight, calls/s", "async_per_s", "{:.0f}"),
    ("asynchronous, 50 in flight, client CPU µs a call", "async_us", "{:.0f}"),
    ("growth of memory over 10,000 calls, MiB", "leak_mib", "{:.2f}"),
)


def goals(found: Mapping[str, Mapping[str, float]]) -> list[tuple[str, bool]]:
    """Compare what was measured with what was promised."""
    ours, theirs, bare = found["lmaas"], found["openai"], found["httpx"]
    fast = found["lmaas[aiohttp]"].get("async_per_s", 0.0)
    over_us = ours["call_us"] - bare["call_us"]
    times = fast / theirs["async_per_s"]
    of_theirs = ours["embed_ms"] / theirs["embed_ms"]
    return [
        (f"import ≤ 160 ms CPU: {ours['import_ms']:.0f}", ours["import_ms"] <= 160),
        (f"import ≤ 22 MiB over bare Python: {ours['import_mib']:.1f}", ours["import_mib"] <= 22),
        (f"a synchronous call ≤ httpx + 100 µs: {over_us:+.0f}", over_us <= 100),
        (f"a streamed chunk ≤ 30 µs: {ours['chunk_us']:.1f}", ours["chunk_us"] <= 30),
        (f"embeddings ≤ 1.0 x openai's: {of_theirs:.2f}", of_theirs <= 1),
        (f"aiohttp ≥ 5 x AsyncOpenAI's calls a second: {times:.1f}", times >= 5),
        (f"10,000 calls leak ≤ 2 MiB: {ours['leak_mib']:.2f}", ours["leak_mib"] <= 2),
    ]


def page(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures as a Markdown page."""
    names = [f"{name} {version(name)}" if name != "lmaas[aiohttp]" else name for name in LIBRARIES]
    lines = [
        "# What the SDK costs",
        "",
        "<!-- Written by `python tests/bench/sdk.py --write`. -->",
        "",
        f"{time.strftime('%Y-%m-%d')}, CPython {platform.python_version()}, {os.cpu_count()} cores,",
        f"load average {os.getloadavg()[0]:.1f} (the benchmark itself makes about 2).",
        "One run; the server is another process.",
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for title, key, form in ROWS:
        cells = [form.format(found[name][key]) if key in found[name] else "" for name in LIBRARIES]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += ["", "| goal | |", "|---|---|"]
    lines += [f"| {what} | {'yes' if is_met else '**no**'} |" for what, is_met in goals(found)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-sdk.md")
    parser.add_argument("--only", choices=LIBRARIES, help="measure one library and print JSON")
    parser.add_argument("--url", help="a server that runs already, for --only")
    options = parser.parse_args()
    if options.only:
        sys.stdout.write(json.dumps(figures(options.only, options.url)))
        return
    text = page(measure())
    sys.stdout.write(text)
    if options.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
