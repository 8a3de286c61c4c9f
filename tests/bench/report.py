"""Measured figures into a verdict and a Markdown page; every number on it comes from the run at hand."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.engine import Comparison
from bench.side_by_side import Contest

_MB = 1e6

_FIGURES = (
    ("CPU µs per plain call", "cpu_us_per_call", 1),
    ("CPU µs per streamed event", "cpu_us_per_event", 2),
    ("calls/s, 32 connections", "calls_per_s", 0),
    ("p50 ms, 1 connection", "p50_ms", 3),
    ("p99 ms, 1 connection", "p99_ms", 3),
    ("added p50 ms", "added_p50_ms", 3),
    ("added p99 ms", "added_p99_ms", 3),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run stood on; nothing here names a host or a folder."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    python: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything one run measured.

    Attributes:
        load_before: One-minute load average when the run began.
        load_after: The same when it ended; the benchmark itself makes about 2.
        absent: Names of the gateways that could not be had.
    """

    date: datetime.date
    command: str
    machine: Machine
    load_before: float
    load_after: float
    contests: tuple[Contest, ...] = ()
    engine: tuple[Comparison, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal and what was measured for it; None where the run did not measure it."""

    goal: str
    measured: float | None
    limit: float
    is_floor: bool = False

    @property
    def word(self) -> str:
        """Say whether the goal is met."""
        if self.measured is None:
            return "not measured"
        is_met = self.measured >= self.limit if self.is_floor else self.measured <= self.limit
        return "met" if is_met else "**missed**"


def machine() -> Machine:
    """Describe this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cores = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {platform.machine()}"
    return Machine(names[0] if names else "unknown", cores, memory, system, platform.python_version())


def verdicts(measured: Measured) -> list[Verdict]:
    """Hold the figures against the goals."""
    contests = {contest.gateway: contest for contest in measured.contests}
    ours = contests.get("lmaas")
    judged = [
        Verdict(f"CPU per {unit} ≤ {limit} of {peer}'s", _ratio(ours, contests.get(peer), figure), limit)
        for unit, figure, peer, limit in (
            ("plain call", "cpu_us_per_call", "vllm-router", 0.65),
            ("plain call", "cpu_us_per_call", "smg", 1.2),
            ("streamed event", "cpu_us_per_event", "vllm-router", 1.0),
            ("streamed event", "cpu_us_per_event", "smg", 1.0),
        )
    ]
    added = None if ours is None else ours.median("added_p50_ms")
    judged.append(Verdict("added p50 ≤ 0.3 ms at one connection", added, 0.3))
    judged.append(Verdict("RSS ≤ 80 MB idle", None if ours is None else ours.idle_rss_bytes / _MB, 80))
    held = None if ours is None or ours.open_streams < 1000 else ours.open_streams_rss_bytes / _MB
    judged.append(Verdict("RSS ≤ 150 MB with 1,000 open streams", held, 150))
    streams = measured.engine[0].ratio if measured.engine else None
    judged.append(Verdict("≥ 0.98 of direct vLLM's token throughput", streams, 0.98, is_floor=True))
    errors = [
        *(one.errors for one in measured.contests if one is ours),
        *(one.errors for one in measured.engine),
    ]
    judged.append(Verdict("no failed call", float(sum(errors)) if errors else None, 0))
    return judged


def _ratio(ours: Contest | None, theirs: Contest | None, figure: str) -> float | None:
    # An error costs less than a reply: a run with failed calls tells nothing about the cost of good ones.
    if ours is None or theirs is None or ours.errors or theirs.errors:
        return None
    return ours.median(figure) / theirs.median(figure)


def markdown(measured: Measured) -> str:
    """Write the page."""
    parts = [
        "# Benchmarks\n\nWritten by the command below; do not edit by hand. "
        "Compare the rows of one run only: absolute figures depend on the machine and on what else it does.",
        _setting(measured),
        "## Verdict",
        _table(("goal", "measured", "verdict"), [_judged(verdict) for verdict in verdicts(measured)]),
    ]
    if measured.contests:
        parts += ["## Gateways before one mock replica", _method(measured), _contests(measured)]
    if measured.engine:
        parts += ["## lmaas beside direct vLLM", _ENGINE_METHOD, _engine(measured.engine)]
    return "\n\n".join(parts) + "\n"


_ENGINE_METHOD = (
    "The same engine processes, called over their own sockets and through lmaas in turns, each first every "
    "other round. The ratio is the median of the rounds' ratios, the range in brackets."
)


def _setting(measured: Measured) -> str:
    host = measured.machine
    return (
        f"- command: `{measured.command}`\n- date: {measured.date.isoformat()}\n"
        f"- machine: {host.cores} cores of {host.cpu}, {host.memory_bytes / 2**30:.0f} GiB, {host.system}, "
        f"Python {host.python}\n"
        f"- one-minute load average before {measured.load_before:.1f}, after {measured.load_after:.1f}"
    )


def _method(measured: Measured) -> str:
    rounds = max(len(contest.rounds) for contest in measured.contests)
    absent = f" Not to be had, and so not measured: {', '.join(measured.absent)}." if measured.absent else ""
    return (
        "Each gateway runs on core 0; load and replica share core 1. lmaas runs with request ids, usage "
        "accounting, metrics and its access log on. CPU is user and system time of the gateway's whole "
        f"process tree; figures are medians of {rounds} interleaved rounds, the range in brackets; *added* "
        f"is against direct calls of the same round. An event is one `data:` line of a 64-token "
        f"stream.{absent}"
    )


def _contests(measured: Measured) -> str:
    contests = measured.contests
    rows = [
        [title, *(_spread(contest.values(figure), contest.median(figure), digits) for contest in contests)]
        for title, figure, digits in _FIGURES
    ]
    rows.append(["RSS MB, idle", *(f"{contest.idle_rss_bytes / _MB:.0f}" for contest in contests)])
    held = [f"{contest.open_streams_rss_bytes / _MB:.0f} ({contest.open_streams})" for contest in contests]
    rows.append(["RSS MB with open streams (how many)", *held])
    rows.append(["failed calls", *(str(contest.errors) for contest in contests)])
    return _table(["", *(f"{contest.gateway} {contest.version}" for contest in contests)], rows)


def _engine(comparisons: Iterable[Comparison]) -> str:
    rows = []
    for one in comparisons:
        direct = [pair.direct_per_s for pair in one.pairs]
        through = [pair.through_per_s for pair in one.pairs]
        ratios = _spread([pair.ratio for pair in one.pairs], one.ratio, 3)
        rates = [f"{sum(rates) / len(rates):.1f}" for rates in (direct, through)]
        rows.append([one.title, one.unit, *rates, ratios, str(one.errors)])
    return _table(("what", "unit", "direct, mean", "through lmaas, mean", "ratio", "failed calls"), rows)


def _judged(verdict: Verdict) -> list[str]:
    shown = "-" if verdict.measured is None else f"{verdict.measured:.3g}"
    return [verdict.goal, shown, verdict.word]


def _spread(values: Sequence[float], middle: float, digits: int) -> str:
    show: Callable[[float], str] = f"{{:,.{digits}f}}".format
    return f"{show(middle)} ({show(min(values))} to {show(max(values))})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))
