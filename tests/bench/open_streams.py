"""The section `streams`: what many open streams see of a gateway, at the pace of real models."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.gateways import Gateway, contestants
from bench.processes import Process, ServerError, on_core
from bench.records import cpu_times, stolen_share
from bench.running import LOAD_CORE, mock_replica
from bench.section import Say, Section, Verdict, table
from bench.side_by_side import stand
from bench.streamgen import Crowd, CrowdFigures

STREAMGEN = Path(__file__).with_name("streamgen.py")
CONTESTANTS = ("lmaas", "vllm-router", "smg")
DIRECT = "direct"

_MAX_SILENCE_MS = 500
_MAX_RAMP_S = 6.0
_FULL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How many streams, at what pace.

    Attributes:
        groups: In how many batches the replica sends; 0 spreads the streams out.
        names: Who is measured there, besides the replica itself.
        rounds: How often each is measured; an odd number.
    """

    streams: int
    tokens_per_s: float
    groups: int = 0
    names: Sequence[str] = CONTESTANTS
    rounds: int = 1


POINTS = (
    Point(streams=100, tokens_per_s=20),
    # One pause of the machine is all of a p99 of seconds: only several windows tell gateways apart.
    Point(streams=1_000, tokens_per_s=20, rounds=5),
    Point(streams=1_000, tokens_per_s=20, groups=4, names=("lmaas",)),
    # 20 tokens/s each would be 100,000 single events a second: more than replica and load can do on one core.
    Point(streams=5_000, tokens_per_s=5),
)
QUICK_POINTS = (Point(streams=50, tokens_per_s=20), Point(streams=200, tokens_per_s=20))
_GOAL: tuple[int, float, int] = (1_000, 20, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One gateway, or none, at one point.

    Attributes:
        cpu_share: CPU of the gateway in the window, as a share of a core.
        stolen_share: Of all cores' time in it, what the host gave to others.
    """

    gateway: str
    streams: int
    tokens_per_s: float
    groups: int
    figures: CrowdFigures
    cpu_share: float = 0.0
    rss_bytes: int = 0
    stolen_share: float = 0.0

    @property
    def events_per_core_s(self) -> float:
        """Events that one whole core would carry."""
        return self.figures.events / self.figures.seconds / self.cpu_share if self.cpu_share else 0.0

    @property
    def is_full(self) -> bool:
        """Whether all streams were open, and at their pace, for the whole window."""
        wanted = self.streams * self.tokens_per_s * self.figures.seconds
        return self.figures.events >= _FULL * wanted

    @property
    def at(self) -> tuple[int, float, int]:
        """Streams, pace and groups."""
        return self.streams, self.tokens_per_s, self.groups


@dataclass(frozen=True, slots=True)
class Rows:
    """Every gateway at every point; a point's `direct` row comes first."""

    rows: tuple[Row, ...]

    def direct(self, row: Row) -> Row:
        """Find the row without a gateway at the same point."""
        return next(one for one in self.rows if one.gateway == DIRECT and one.at == row.at)

    def goal(self) -> Row | None:
        """Find lmaas where the goal stands."""
        return next((row for row in self.rows if row.gateway == "lmaas" and row.at == _GOAL), None)


def measure(is_quick: bool, say: Say) -> Rows:
    """Hold every number of streams, directly and through each gateway that can be had."""
    found = {one.name: one for one in contestants(os.environ, names=CONTESTANTS) if one.python is not None}
    crowd = Crowd(address="", streams=0, tokens=0, window_s=3.0 if is_quick else 10.0)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for point in QUICK_POINTS if is_quick else POINTS:
            gateways = [found[one] for one in point.names if one in found]
            rounds = [
                row for _ in range(point.rounds) for row in _at(point, gateways, crowd, Path(name), say)
            ]
            names = dict.fromkeys(row.gateway for row in rounds)
            rows += [together([row for row in rounds if row.gateway == one]) for one in names]
    return Rows(tuple(rows))


def together(rounds: Sequence[Row]) -> Row:
    """Make one row of a gateway's rounds: their medians, but the worst of what must never happen."""
    worst = {"longest_silence_ms": max, "unfinished": max, "failed_probes": max, "opened": min, "events": min}
    found: dict[str, Any] = {
        field.name: worst[field.name]([getattr(row.figures, field.name) for row in rounds])
        if field.name in worst
        else median(getattr(row.figures, field.name) for row in rounds)
        for field in fields(CrowdFigures)
    }
    return replace(
        rounds[0],
        figures=CrowdFigures(**found),
        cpu_share=median(row.cpu_share for row in rounds),
        stolen_share=median(row.stolen_share for row in rounds),
        rss_bytes=round(median(row.rss_bytes for row in rounds)),
    )


def _at(point: Point, gateways: Sequence[Gateway], crowd: Crowd, folder: Path, say: Say) -> Iterator[Row]:
    ramp_s = min(point.streams / crowd.opens_per_s, _MAX_RAMP_S)
    # Long enough for a gateway that takes twice the time to open them.
    lasts_s = 2 * ramp_s + crowd.settle_s + crowd.window_s + 3.0
    sized = replace(
        crowd,
        streams=point.streams,
        tokens=round(lasts_s * point.tokens_per_s),
        opens_per_s=point.streams / ramp_s,
    )
    pace = ["--itl-ms", str(1e3 / point.tokens_per_s), "--groups", str(point.groups), "--stamps"]
    for gateway in (None, *gateways):
        name = gateway.name if gateway else DIRECT
        try:
            # Each has a replica of its own, so that none inherits another's connections.
            with mock_replica(*pace) as replica, _before(replica, gateway, folder) as (address, process):
                row = _hold(replace(sized, address=address), process, point, name)
        except ServerError as error:
            if gateway is None or gateway.is_ours:
                raise
            say(str(error))
            continue
        say(_brief(row))
        yield row


@contextmanager
def _before(replica: str, gateway: Gateway | None, folder: Path) -> Iterator[tuple[str, Process | None]]:
    if gateway is None:
        yield replica, None
    else:
        with stand(gateway, [replica], folder) as standing:
            yield standing.address, standing.process


def _hold(crowd: Crowd, process: Process | None, point: Point, name: str) -> Row:
    command = on_core(LOAD_CORE, [sys.executable, str(STREAMGEN), msgspec.json.encode(crowd).decode()])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        begun_s, times = process.cpu_s() if process else 0.0, cpu_times()
        holder.stdout.readline()
        spent_s, stolen = process.cpu_s() - begun_s if process else 0.0, stolen_share(times, cpu_times())
        rss = process.rss_bytes() if process else 0
        out, error = holder.communicate(timeout=2 * crowd.timeout_s)
    if holder.returncode:
        message = f"the stream generator failed: {error.strip()[-500:]}"
        raise ServerError(message)
    figures = msgspec.json.decode(out, type=CrowdFigures)
    return Row(
        gateway=name,
        streams=point.streams,
        tokens_per_s=point.tokens_per_s,
        groups=point.groups,
        figures=figures,
        cpu_share=spent_s / figures.seconds,
        rss_bytes=rss,
        stolen_share=stolen,
    )


def _brief(row: Row) -> str:
    figures = row.figures
    return (
        f"{row.streams} streams, {row.gateway}: {figures.events / figures.seconds:,.0f} events/s, "
        f"p99 on the way {figures.delay_p99_ms:.2f} ms, silence {figures.longest_silence_ms:.0f} ms, "
        f"{row.cpu_share:.0%} of a core, {row.stolen_share:.1%} stolen, {figures.unfinished} unfinished"
    )


def judge(result: Rows | None) -> Sequence[Verdict]:
    """Hold lmaas at 1,000 streams against the goals."""
    ours = None if result is None else result.goal()
    added = silence = lost = None
    if result is not None and ours is not None and ours.is_full:
        added = max(_added(result, ours))
        silence = ours.figures.longest_silence_ms
        lost = float(ours.figures.unfinished + ours.streams - ours.figures.opened)
    at = f"at {_GOAL[0]:,} streams of {_GOAL[1]:g} tokens/s"
    return [
        Verdict(f"added inter-token p99 ≤ 5 ms {at}", added, 5),
        Verdict(f"no stream starves: longest silence ≤ {_MAX_SILENCE_MS} ms {at}", silence, _MAX_SILENCE_MS),
        Verdict(f"streams that do not end whole {at}", lost, 0),
    ]


def _added(result: Rows, row: Row) -> tuple[float, float]:
    """Say what a gateway adds to the gap between two events and to an event's way, both at p99."""
    direct, through = result.direct(row).figures, row.figures
    return through.gap_p99_ms - direct.gap_p99_ms, through.delay_p99_ms - direct.delay_p99_ms


def describe(result: Rows) -> str:
    """Tell how it was measured, and every figure."""
    method = (
        "Gateway on core 0, load and replica on core 1; lmaas with everything on. The point of the goal is "
        "measured in several rounds: its figures are their medians, but for silences and streams that do "
        "not end whole, of which the worst counts. *Stolen* is CPU time that the host gave to others. All "
        "streams are open at once; in a window after the last one has begun, every event's gap to the one "
        "before and its time on the way from the replica's write (its text is that moment) to the client "
        "are noted. *Added* is the percentile through the gateway less the direct one. Where streams stand "
        "*in groups*, the replica sends a whole group's events at once, as the batches of so many engines "
        "do; else they are spread over the period. First event: of further short streams, opened while the "
        "others run. 5,000 streams run at 5 tokens/s, because replica and load share a core that 100,000 "
        "single events a second would fill. Events come one by one here, so each costs a wake-up and a "
        "write; where many wait at once, as in the section above, an event costs less. The goal's figure is"
        " the larger of added gap and added time on the way."
    )
    rows = [_shown(result, row) for row in result.rows]
    return f"{method}\n\n{table(_HEADER, rows)}"


_HEADER = (
    "open streams",
    "through",
    "gap p50 / p99 ms",
    "added gap p50 / p99",
    "on the way p50 / p99 ms",
    "added p50 / p99",
    "longest silence ms",
    "first event p50 / p99 ms",
    "added p50 / p99",
    "CPU",
    "stolen",
    "events/s per core",
    "RSS MB",
    "not whole",
)


def _shown(result: Rows, row: Row) -> list[str]:
    ours, direct = row.figures, result.direct(row).figures
    groups = f", {row.groups} groups" if row.groups else ""
    is_direct = row.gateway == DIRECT

    def added(p50: float, p99: float) -> str:
        return "" if is_direct else f"{p50:.2f} / {p99:.2f}"

    return [
        f"{row.streams:,} of {row.tokens_per_s:g}/s{groups}",
        row.gateway if row.is_full else f"{row.gateway} (not all events came)",
        f"{ours.gap_p50_ms:.1f} / {ours.gap_p99_ms:.1f}",
        added(ours.gap_p50_ms - direct.gap_p50_ms, ours.gap_p99_ms - direct.gap_p99_ms),
        f"{ours.delay_p50_ms:.2f} / {ours.delay_p99_ms:.2f}",
        added(ours.delay_p50_ms - direct.delay_p50_ms, ours.delay_p99_ms - direct.delay_p99_ms),
        f"{ours.longest_silence_ms:.0f}",
        f"{ours.first_event_p50_ms:.2f} / {ours.first_event_p99_ms:.2f}",
        added(
            ours.first_event_p50_ms - direct.first_event_p50_ms,
            ours.first_event_p99_ms - direct.first_event_p99_ms,
        ),
        "" if is_direct else f"{row.cpu_share:.0%}",
        f"{row.stolen_share:.1%}" if row.stolen_share else "-",
        "" if is_direct else f"{row.events_per_core_s:,.0f}",
        "" if is_direct else f"{row.rss_bytes / 1e6:.0f}",
        str(ours.unfinished + row.streams - ours.opened),
    ]


SECTION = Section(
    name="streams",
    title="Many open streams",
    result=Rows,
    measure=measure,
    judge=judge,
    describe=describe,
)
