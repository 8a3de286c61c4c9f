"""All gateways before one mock replica in one run: CPU per unit of work, latency, throughput, memory.

Every gateway stays up for the whole run, pinned to one core; replica and load share the other. Rounds are
interleaved, so that whatever else the machine does hits all of them alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import msgspec

from bench.gateways import KEY, Gateway
from bench.loadgen import Figures, Load
from bench.processes import Process, ServerError, free_port, on_core, serving, wait_until

GATEWAY_CORE, LOAD_CORE = 0, 1
LOADGEN = Path(__file__).with_name("loadgen.py")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    rounds: int = 5
    calls: int = 20_000
    single_calls: int = 1_000
    streams: int = 1_500
    open_streams: int = 1_000


QUICK = Size(rounds=2, calls=2_000, single_calls=200, streams=200, open_streams=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One gateway in one round."""

    cpu_us_per_call: float
    cpu_us_per_event: float
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    added_p50_ms: float
    added_p99_ms: float
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One gateway over all rounds; memory in bytes of its whole process tree."""

    gateway: str
    version: str
    rounds: tuple[Round, ...]
    idle_rss_bytes: int
    open_streams_rss_bytes: int
    open_streams: int

    def median(self, name: str) -> float:
        """Return the median over rounds of one of their figures."""
        return median(self.values(name))

    def values(self, name: str) -> list[float]:
        """Return one figure of every round, in order."""
        return [float(getattr(one, name)) for one in self.rounds]

    @property
    def errors(self) -> int:
        """Return the calls that failed, over all rounds, and streams that did not open."""
        return sum(one.errors for one in self.rounds)


@dataclass(frozen=True, slots=True)
class _Standing:
    gateway: Gateway
    process: Process
    address: str


@dataclass(frozen=True, slots=True)
class _Memory:
    idle_bytes: int
    open_streams_bytes: int
    open_streams: int


def compare(gateways: Sequence[Gateway], size: Size, say: Say) -> list[Contest]:
    """Measure every gateway that is installed: first in rounds, then each one's memory.

    Raises:
        ServerError: a gateway or the replica did not start.
    """
    present = [gateway for gateway in gateways if gateway.python is not None]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rounds = _all_rounds(present, size, Path(name), say)
        memories = [_memory(gateway, size.open_streams, Path(name), say) for gateway in present]
    return [
        Contest(
            gateway=gateway.name,
            version=gateway.version,
            rounds=tuple(rounds[gateway.name]),
            idle_rss_bytes=memory.idle_bytes,
            open_streams_rss_bytes=memory.open_streams_bytes,
            open_streams=memory.open_streams,
        )
        for gateway, memory in zip(present, memories, strict=True)
    ]


def _all_rounds(gateways: Sequence[Gateway], size: Size, folder: Path, say: Say) -> dict[str, list[Round]]:
    done: dict[str, list[Round]] = {gateway.name: [] for gateway in gateways}
    with ExitStack() as stack:
        replica = stack.enter_context(mock_replica())
        standing = []
        for gateway in gateways:
            say(f"starting {gateway.name} {gateway.version}")
            standing.append(stack.enter_context(_stand(gateway, replica, folder)))
        for number in range(size.rounds):
            # Each round begins with another gateway, so none always follows the same one.
            turn = number % max(len(standing), 1)
            for one in standing[turn:] + standing[:turn]:
                result = _round(one, replica, size)
                done[one.gateway.name].append(result)
                say(f"round {number + 1} of {size.rounds}: {one.gateway.name} {_brief(result)}")
    return done


def _memory(gateway: Gateway, count: int, folder: Path, say: Say) -> _Memory:
    """Start the gateway afresh, with a replica whose streams last, and hold `count` of them open."""
    with mock_replica("--itl-ms", "1000") as slow, _stand(gateway, slow, folder) as fresh:
        idle = fresh.process.rss_bytes()
        opened, held = open_streams_rss(fresh.address, fresh.process, count)
    say(f"{gateway.name}: {idle / 1e6:.0f} MB idle, {held / 1e6:.0f} MB with {opened} open streams")
    return _Memory(idle, held, opened)


@contextmanager
def mock_replica(*options: str) -> Iterator[str]:
    """Run the fast fake replica beside the load, and give its address."""
    port = free_port()
    command = [sys.executable, "-m", "lmaas_gateway.testing", "--fast", "--port", str(port), *options]
    with serving("mock", command, core=LOAD_CORE) as process:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(f"{address}/health"), process, within_s=30)
        yield address


@contextmanager
def _stand(gateway: Gateway, replica: str, folder: Path) -> Iterator[_Standing]:
    port = free_port()
    command = gateway.command(port=port, replica=replica, folder=folder)
    address = f"http://127.0.0.1:{port}"
    with serving(gateway.name, command, core=GATEWAY_CORE) as process:
        probe = Load(address=address, key=KEY, connections=1, requests=1, tokens=4, timeout_s=10)
        wait_until(lambda: run_load(probe).errors == 0, process, within_s=120)
        yield _Standing(gateway, process, address)


def _round(one: _Standing, replica: str, size: Size) -> Round:
    weight = one.gateway.weight
    plain = Load(address=one.address, key=KEY, requests=max(round(size.calls * weight), 64))
    single = replace(plain, connections=1, requests=max(round(size.single_calls * weight), 50))
    streamed = replace(plain, stream=True, requests=max(round(size.streams * weight), 32))
    calls, call_cpu_s = _costed(one.process, plain)
    direct, alone = run_load(replace(single, address=replica)), run_load(single)
    streams, stream_cpu_s = _costed(one.process, streamed)
    return Round(
        cpu_us_per_call=call_cpu_s / plain.requests * 1e6,
        cpu_us_per_event=stream_cpu_s / max(streams.events, 1) * 1e6,
        calls_per_s=calls.calls_per_s,
        p50_ms=alone.p50_ms,
        p99_ms=alone.p99_ms,
        added_p50_ms=alone.p50_ms - direct.p50_ms,
        added_p99_ms=alone.p99_ms - direct.p99_ms,
        errors=calls.errors + alone.errors + streams.errors + direct.errors,
    )


def _costed(process: Process, load: Load) -> tuple[Figures, float]:
    before = process.cpu_s()
    result = run_load(load)
    return result, process.cpu_s() - before


def run_load(load: Load, *, core: int | None = LOAD_CORE) -> Figures:
    """Run one load in a process of its own.

    Raises:
        ServerError: the load generator itself failed.
    """
    command = on_core(core, [sys.executable, str(LOADGEN), msgspec.json.encode(load).decode()])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=load.timeout_s + 30)
    if done.returncode:
        message = f"the load generator failed: {done.stderr.strip()[-500:]}"
        raise ServerError(message)
    return msgspec.json.decode(done.stdout, type=Figures)


def open_streams_rss(address: str, process: Process, count: int) -> tuple[int, int]:
    """Hold `count` streams open at once; return how many opened, and the memory of `process` meanwhile."""
    load = Load(address=address, key=KEY, connections=count, stream=True, tokens=120, hold=True, timeout_s=60)
    command = on_core(LOAD_CORE, [sys.executable, str(LOADGEN), msgspec.json.encode(load).decode()])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        opened = int(holder.stdout.readline() or 0)
        rss = process.rss_bytes()
        holder.communicate()
    return opened, rss


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _brief(one: Round) -> str:
    shown = {"us/call": one.cpu_us_per_call, "us/event": one.cpu_us_per_event, "calls/s": one.calls_per_s}
    return json.dumps({name: round(value, 1) for name, value in shown.items()} | {"errors": one.errors})
