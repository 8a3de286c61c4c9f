"""The section `seeing`: what metrics, traces, records and people at the pages cost."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import big_ledger
from bench.loadgen import Load
from bench.running import mock_replica, run_load
from bench.section import Say, Section, Verdict, spread, table
from bench.seen_calls import SeenCalls, Turns, compare
from bench.seen_site import PageTimes, seen_site, time_pages
from bench.viewer_turns import Turn, take_turn
from support.store_servers import running_postgres

_VIEWERS, _CALLS_PER_S = 50, 20.0
_KEPT_RECORDS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured.

    Attributes:
        calls: Of the two gateways.
        turn_s: How long a turn with or without viewers takes.
        turns: How many of both kinds.
        rows: Of the ledger.
        times: How often each page is asked for.
    """

    calls: Turns
    turn_s: float
    turns: int
    viewers: int
    rows: int
    times: int


FULL = Extent(
    calls=Turns(starts=6, comparisons=4, calls=1500, stream_comparisons=1, streams=100, warm_calls=5000),
    turn_s=20.0,
    turns=2,
    viewers=_VIEWERS,
    rows=10_000_000,
    times=20,
)
QUICK = Extent(
    calls=Turns(starts=1, comparisons=1, calls=200, stream_comparisons=1, streams=16, warm_calls=64),
    turn_s=2.0,
    turns=1,
    viewers=5,
    rows=20_000,
    times=3,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What being seen came to.

    Attributes:
        calls: To a call.
        turns: Without and with viewers, in pairs.
        pages: Over the ledger.
        rows: Of the ledger.
    """

    calls: SeenCalls
    turns: tuple[Turn, ...]
    pages: tuple[PageTimes, ...]
    rows: int

    def viewers_cpu(self) -> list[float]:
        """Give the share of a core that viewers take, pair by pair of turns."""
        return [
            watched.cpu_share - alone.cpu_share
            for alone, watched in zip(self.alone, self.watched, strict=True)
        ]

    @property
    def alone(self) -> list[Turn]:
        """Turns without viewers."""
        return [turn for turn in self.turns if not turn.viewers]

    @property
    def watched(self) -> list[Turn]:
        """Turns with viewers."""
        return [turn for turn in self.turns if turn.viewers]

    @property
    def failed_calls(self) -> int:
        """Calls that failed while it was measured."""
        return self.calls.errors + sum(turn.failed_calls for turn in self.turns)


def measure(is_quick: bool, say: Say) -> Seen:
    """Measure a call's share, that of viewers, and the pages of a long ledger.

    Raises:
        ServerError: a gateway, a replica or a load did not do what it should.
    """
    return measure_extent(QUICK if is_quick else FULL, say)


def measure_extent(extent: Extent, say: Say) -> Seen:
    """Do as `measure`, to this extent."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        calls = compare(extent.calls, folder, say)
        turns = _turns(extent, folder / "watched", say)
        pages = _pages(extent, folder / "ledger", say)
    return Seen(calls=calls, turns=turns, pages=pages, rows=extent.rows)


def _turns(extent: Extent, folder: Path, say: Say) -> tuple[Turn, ...]:
    taken = []
    with mock_replica() as replica, seen_site(folder, [replica]) as site:
        for number in range(extent.turns):
            # Every other pair begins with the viewers: what changes with time hits both alike.
            order = (0, extent.viewers) if number % 2 == 0 else (extent.viewers, 0)
            for viewers in order:
                turn = take_turn(site, viewers, seconds=extent.turn_s, calls_per_s=_CALLS_PER_S)
                say(f"{viewers} viewers: {turn.cpu_share:.2%} of a core, {turn.events} events")
                taken.append(turn)
    return tuple(taken)


def _pages(extent: Extent, folder: Path, say: Say) -> tuple[PageTimes, ...]:
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres("seen"))
        replica = stack.enter_context(mock_replica())
        # A database that is slow makes a slow page, which counts, and no refusal.
        storage = {"url": postgres.url("seen"), "deadline_s": 30}
        site = stack.enter_context(seen_site(folder, [replica], storage=storage))
        say(f"{extent.rows:,} rows of the ledger")
        big_ledger.fill(lambda statement: postgres.run(statement, "seen"), extent.rows, site.organization())
        # The page of calls shows records of the last ones: all that are kept.
        load = Load(address=site.address, key=site.key, requests=min(_KEPT_RECORDS, extent.rows))
        run_load(load)
        pages = time_pages(site.browser, _paths(), extent.times)
    for page in pages:
        say(f"{page.name}: {page.p50_s:.3f} s, {page.worst_s:.3f} s at worst")
    return pages


def _paths() -> Mapping[str, str]:
    first, last = big_ledger.span()
    return {
        "dashboard": "/ui",
        **{
            f"usage of the month by {group}": f"/ui/usage?by={group}&from={first}&to={last}"
            for group in ("project", "key", "model", "day")
        },
        "last calls": "/ui/calls",
        "calls that failed": "/ui/calls?which=failed",
        "one call of the ledger": "/ui/calls/request-4242",
    }


def judge(result: Seen | None) -> Sequence[Verdict]:
    """Hold the figures against the goals."""
    grown = viewers = slowest = failed = None
    if result is not None:
        grown = result.calls.grown() * 100
        viewers = median(result.viewers_cpu()) * 100
        slowest = max(page.worst_s for page in result.pages)
        failed = float(result.failed_calls)
    return [
        Verdict("metrics, traces of 1 % and records: CPU per plain call grows by ≤ 10 %", grown, 10),
        Verdict(f"{_VIEWERS} viewers of the live page ≤ 5 % of a core", viewers, 5),
        Verdict("a page over 10 million rows of the ledger ≤ 1 s", slowest, 1),
        Verdict("no failed call while it is seen", failed, 0),
    ]


def describe(result: Seen) -> str:
    """Tell how it was measured, and every figure."""
    return f"{_describe_calls(result)}\n\n{_describe_viewers(result)}\n\n{_describe_pages(result)}"


def _describe_calls(result: Seen) -> str:
    calls = result.calls
    figures = (("CPU µs per plain call", calls.calls, 1), ("CPU µs per event", calls.events, 2))
    rows = [
        [
            title,
            spread([one.seen_us for one in compared], digits),
            spread([one.unseen_us for one in compared], digits),
            spread([one.ratio for one in compared], 3),
            str(len(compared)),
        ]
        for title, compared, digits in figures
    ]
    low, high = calls.grown_between()
    method = (
        "Two gateways as they come, before the same mock replicas. *Seen* is what is on by default, and "
        f"traces of 1 % of calls for a collector beside it ({calls.spans} spans came, in {calls.traces} "
        "messages). *Unseen* has `records.calls: 0`, `records.server_timing: false`, "
        "`quality.sample_rate: 0`, `dashboard.enabled: false` and no traces. Metrics are counted in both, as "
        "there is no switch: limits, alerts and routing go by the same counts. The access log is on in both. "
        "Both are started several times, serve more calls than there are records, and then take turns: the "
        "one, the other twice, the one again, all within some seconds. That is one comparison; the median of "
        f"all counts. For plain calls it is {calls.grown():+.1%}, and the true one lies between {low:+.1%} "
        f"and {high:+.1%} with 95 % certainty."
    )
    header = ("", "seen", "unseen", "seen / unseen", "comparisons")
    return f"{method}\n\n{table(header, rows)}"


def _describe_viewers(result: Seen) -> str:
    rows = [
        [
            str(turn.viewers),
            f"{turn.seconds:.1f}",
            f"{turn.cpu_share:.2%}",
            f"{turn.events / turn.seconds:.1f}",
            f"{turn.event_bytes / 1e3:.1f}",
            f"{turn.calls / turn.seconds:.1f}",
            str(turn.failed_calls),
        ]
        for turn in result.turns
    ]
    header = ("viewers", "seconds", "CPU of a core", "events/s", "kB an event", "calls/s", "failed calls")
    method = (
        "A gateway with tenants and five models takes a light load of calls, in turns without and with "
        "viewers of the live page, each on a connection of its own, signed in. CPU is that of the "
        f"gateway's process; viewers add {median(result.viewers_cpu()):.2%} of a core."
    )
    return f"{method}\n\n{table(header, rows)}"


def _describe_pages(result: Seen) -> str:
    rows = [
        [page.name, f"{page.p50_s:.3f}", f"{page.worst_s:.3f}", f"{page.page_bytes / 1e3:.0f}"]
        for page in result.pages
    ]
    times = max(page.times for page in result.pages)
    method = (
        f"A ledger of {result.rows:,} calls in a month on PostgreSQL, half of them of the organization whose "
        "owner looks, by 1,000 keys of 50 projects. Times are the clock's, from the request over HTTP to the "
        f"last byte of the page, signed in, {times} times each; the worst is mostly the first, which "
        "compiles the page's template. The page of last calls shows records; there are as many as are kept."
    )
    return f"{method}\n\n{table(('page', 'p50 s', 'worst s', 'kB'), rows)}"


SECTION = Section(
    name="seeing",
    title="Being seen",
    result=Seen,
    measure=measure,
    judge=judge,
    describe=describe,
)
