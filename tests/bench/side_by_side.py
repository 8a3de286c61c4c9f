"""All gateways before one mock replica: CPU per unit of work, latency, throughput, memory.

Every gateway stays up for the whole run, pinned to one core; replica and load share the other. In a round
each gateway takes two turns at each kind of load, the second time in reverse order, so that a machine that
grows slower or faster meanwhile hits all alike; gateways are compared within a round, and rounds by their
median.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.gateways import Gateway
from bench.loadgen import Load
from bench.processes import Process, ServerError, free_port, serving, wait_until
from bench.running import GATEWAY_CORE, mock_replica, open_streams_rss, run_load
from bench.section import Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured, each round; calls and streams are those of both turns together."""

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
    events_per_s: float
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

    def ratios(self, other: Contest, name: str) -> list[float]:
        """Return this gateway's figure as a share of the other's, round by round."""
        return [ours / theirs for ours, theirs in zip(self.values(name), other.values(name), strict=True)]

    @property
    def errors(self) -> int:
        """Return the calls that failed, over all rounds."""
        return sum(one.errors for one in self.rounds)


@dataclass(frozen=True, slots=True)
class Standing:
    """A gateway that runs."""

    gateway: Gateway
    process: Process
    address: str


@dataclass(frozen=True, slots=True)
class Work:
    """What some turns of one gateway came to; units are calls, or events of streams."""

    units: int = 0
    cpu_s: float = 0.0
    seconds: float = 0.0
    errors: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.units + other.units,
            self.cpu_s + other.cpu_s,
            self.seconds + other.seconds,
            self.errors + other.errors,
        )

    @property
    def cpu_us(self) -> float:
        """CPU time per unit."""
        return self.cpu_s / max(self.units, 1) * 1e6

    @property
    def per_s(self) -> float:
        """Units per second."""
        return self.units / self.seconds


def compare(gateways: Sequence[Gateway], size: Size, say: Say) -> list[Contest]:
    """Measure every gateway that is installed and starts: first in rounds, then each one's memory.

    Raises:
        ServerError: lmaas or a replica did not start.
    """
    installed = [gateway for gateway in gateways if gateway.python is not None]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rounds = in_rounds(installed, size, Path(name), say)
        present = [gateway for gateway in installed if gateway.name in rounds[0]]
        memories = [_memory(gateway, size.open_streams, Path(name), say) for gateway in present]
    return [
        Contest(
            gateway=gateway.name,
            version=gateway.version,
            rounds=tuple(one[gateway.name] for one in rounds),
            idle_rss_bytes=idle,
            open_streams_rss_bytes=held,
            open_streams=opened,
        )
        for gateway, (idle, held, opened) in zip(present, memories, strict=True)
    ]


def in_rounds(gateways: Sequence[Gateway], size: Size, folder: Path, say: Say) -> list[dict[str, Round]]:
    """Measure gateways that are installed in rounds; each round has the figures by their names.

    Raises:
        ServerError: lmaas or a replica did not start.
    """
    done = []
    with ExitStack() as stack:
        # Two, so that routing has a choice to make.
        replicas = [stack.enter_context(mock_replica()) for _ in range(2)]
        standing = []
        for gateway in gateways:
            say(f"starting {gateway.name} {gateway.version}")
            try:
                standing.append(stack.enter_context(stand(gateway, replicas, folder)))
            except ServerError as error:
                if gateway.is_ours:
                    raise
                say(str(error))
        for number in range(size.rounds):
            # Each round begins with another gateway, so none always follows the same one.
            turn = number % max(len(standing), 1)
            done.append(_round(standing[turn:] + standing[:turn], replicas[0], size))
            for name, one in done[-1].items():
                figures = f"{one.cpu_us_per_call:,.1f} µs a call, {one.cpu_us_per_event:.2f} µs an event"
                say(f"round {number + 1} of {size.rounds}: {name} {figures}, {one.errors} failed")
    return done


def _round(order: Sequence[Standing], replica: str, size: Size) -> dict[str, Round]:
    plain = Load(address="", requests=size.calls // 2)
    streamed = replace(plain, stream=True, requests=size.streams // 2)
    calls, streams = in_turns(order, plain, least=32), in_turns(order, streamed, least=16)
    return {
        one.gateway.name: _figures(one, replica, size, calls[one.gateway.name], streams[one.gateway.name])
        for one in order
    }


def in_turns(order: Sequence[Standing], load: Load, *, least: int = 1) -> Mapping[str, Work]:
    """Let each gateway work off `load`, in order and then in reverse; give what both turns of each came to.

    Args:
        order: The gateways; those of less weight get less of the load.
        load: For one turn, whatever its address.
        least: How many calls a turn has at least.
    """
    done: dict[str, Work] = {}
    for one in (*order, *reversed(order)):
        requests = max(round(load.requests * one.gateway.weight), least)
        before_s = one.process.cpu_s()
        run = run_load(replace(load, address=one.address, key=one.gateway.key, requests=requests))
        units = run.events if load.stream else requests
        work = Work(units, one.process.cpu_s() - before_s, run.seconds, run.errors)
        done[one.gateway.name] = done.get(one.gateway.name, Work()) + work
    return done


def _figures(one: Standing, replica: str, size: Size, calls: Work, streams: Work) -> Round:
    requests = max(round(size.single_calls * one.gateway.weight), 50)
    single = Load(address=one.address, key=one.gateway.key, connections=1, requests=requests)
    direct, alone = run_load(replace(single, address=replica)), run_load(single)
    return Round(
        cpu_us_per_call=calls.cpu_us,
        cpu_us_per_event=streams.cpu_us,
        calls_per_s=calls.per_s,
        events_per_s=streams.per_s,
        p50_ms=alone.p50_ms,
        p99_ms=alone.p99_ms,
        added_p50_ms=alone.p50_ms - direct.p50_ms,
        added_p99_ms=alone.p99_ms - direct.p99_ms,
        errors=calls.errors + alone.errors + streams.errors + direct.errors,
    )


def _memory(gateway: Gateway, count: int, folder: Path, say: Say) -> tuple[int, int, int]:
    """Start the gateway afresh, with a replica whose streams last, and hold `count` of them open."""
    with mock_replica("--itl-ms", "1000") as slow, stand(gateway, [slow], folder) as fresh:
        idle = fresh.process.rss_bytes()
        opened, held = open_streams_rss(fresh.address, fresh.process, count, key=gateway.key)
    say(f"{gateway.name}: {idle / 1e6:.0f} MB idle, {held / 1e6:.0f} MB with {opened} open streams")
    return idle, held, opened


@contextmanager
def stand(gateway: Gateway, replicas: Sequence[str], folder: Path) -> Iterator[Standing]:
    """Run a gateway before `replicas`, once it answers."""
    port = free_port()
    command = gateway.command(port=port, replicas=replicas, folder=folder)
    address = f"http://127.0.0.1:{port}"
    with serving(gateway.name, command, core=GATEWAY_CORE) as process:
        probe = Load(address=address, key=gateway.key, connections=1, requests=1, tokens=4, timeout_s=10)
        wait_until(lambda: run_load(probe).errors == 0, process, within_s=120)
        yield Standing(gateway, process, address)
