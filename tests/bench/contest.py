"""The section `gateways`: lmaas beside vllm-router, smg and LiteLLM before mock replicas."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.gateways import RELAY, contestants
from bench.section import Say, Section, Verdict, spread, table
from bench.side_by_side import QUICK, Contest, Size, compare

CONTESTANTS = ("lmaas", "lmaas, bare", "vllm-router", "smg", "litellm", RELAY)

_MB = 1e6

_FIGURES = (
    ("CPU µs per plain call", "cpu_us_per_call", 1),
    ("CPU µs per streamed event", "cpu_us_per_event", 2),
    ("calls/s, 32 connections", "calls_per_s", 0),
    ("events/s, 32 streams", "events_per_s", 0),
    ("p50 ms, 1 connection", "p50_ms", 3),
    ("p99 ms, 1 connection", "p99_ms", 3),
    ("added p50 ms", "added_p50_ms", 3),
    ("added p99 ms", "added_p99_ms", 3),
)
_COSTS = (("plain call", "cpu_us_per_call"), ("streamed event", "cpu_us_per_event"))
# (whose cost, of what, beside whom): at most this share.
_LIMITS = (
    ("lmaas", "plain call", "vllm-router", 0.75),
    ("lmaas", "plain call", "smg", 1.4),
    ("lmaas", "streamed event", "vllm-router", 1.1),
    ("lmaas", "streamed event", "smg", 1.0),
    ("lmaas, bare", "plain call", "vllm-router", 0.65),
    ("lmaas, bare", "plain call", "smg", 1.2),
    ("lmaas, bare", "streamed event", "vllm-router", 1.0),
    ("lmaas, bare", "streamed event", "smg", 1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contests:
    """What every gateway came to; `absent` names those that could not be had."""

    contests: tuple[Contest, ...]
    absent: tuple[str, ...] = ()

    def of(self, gateway: str) -> Contest | None:
        """Find one gateway's figures, if it was measured and served every call.

        An error costs less than a reply: a run with failed calls tells nothing about the cost of good ones.
        """
        found = (one for one in self.contests if one.gateway == gateway and not one.errors)
        return next(found, None)


def measure(is_quick: bool, say: Say) -> Contests:
    """Compare all gateways that can be had."""
    found = contestants(os.environ, names=CONTESTANTS)
    contests = compare(found, QUICK if is_quick else Size(), say)
    measured = {one.gateway for one in contests}
    absent = tuple(one.name for one in found if one.name not in measured)
    return Contests(contests=tuple(contests), absent=absent)


def judge(result: Contests | None) -> Sequence[Verdict]:
    """Hold the figures against the goals; ratios are medians of the rounds' ratios."""
    measured = result or Contests(contests=())
    figures = dict(_COSTS)
    judged = [
        Verdict(
            f"CPU per {unit}, {who}: ≤ {limit} of {peer}'s",
            _ratio(measured, who, peer, figures[unit]),
            limit,
        )
        for who, unit, peer, limit in _LIMITS
    ]
    times = _ratio(measured, "litellm", "lmaas", "cpu_us_per_call")
    judged.append(Verdict("CPU per plain call, LiteLLM: ≥ 100 times lmaas'", times, 100, is_floor=True))
    ours = measured.of("lmaas")
    added = None if ours is None else ours.median("added_p50_ms")
    judged.append(Verdict("added p50 ≤ 0.3 ms at one connection", added, 0.3))
    judged.append(Verdict("RSS ≤ 80 MB idle", None if ours is None else ours.idle_rss_bytes / _MB, 80))
    held = None if ours is None or ours.open_streams < 1000 else ours.open_streams_rss_bytes / _MB
    judged.append(Verdict("RSS ≤ 150 MB with 1,000 open streams", held, 150))
    failed = [one.errors for one in measured.contests if one.gateway.startswith("lmaas")]
    judged.append(Verdict("no failed call before the mock", float(sum(failed)) if failed else None, 0))
    return judged


def _ratio(measured: Contests, who: str, peer: str, figure: str) -> float | None:
    ours, theirs = measured.of(who), measured.of(peer)
    return None if ours is None or theirs is None else median(ours.ratios(theirs, figure))


def describe(result: Contests) -> str:
    """Tell how it was measured, and every figure."""
    rounds = max((len(contest.rounds) for contest in result.contests), default=0)
    absent = f" Not to be had, and so not measured: {', '.join(result.absent)}." if result.absent else ""
    method = (
        "Each gateway runs on core 0, before two mock replicas that share core 1 with the load. `lmaas` runs "
        "with everything on, `lmaas, bare` as it comes, with the replicas' addresses and nothing else. CPU "
        "is user and system time of the gateway's whole process tree. In each of "
        f"{rounds} rounds every gateway takes two turns at each load, the second in reverse order; figures "
        "are medians of rounds, the range in brackets; *added* is against direct calls of the same round. "
        "An event is one `data:` line of a 64-token stream. The byte relay is no gateway: a process "
        "on uvloop that copies bytes between client and a replica, the least that anything between "
        f"them can cost; its version is uvloop's.{absent}"
    )
    return f"{method}\n\n{_contests(result.contests)}\n\n{_ratios(result)}"


def _contests(contests: Sequence[Contest]) -> str:
    rows = [
        [title, *(spread(contest.values(figure), digits) for contest in contests)]
        for title, figure, digits in _FIGURES
    ]
    rows.append(["RSS MB, idle", *(f"{contest.idle_rss_bytes / _MB:.0f}" for contest in contests)])
    held = [f"{contest.open_streams_rss_bytes / _MB:.0f} ({contest.open_streams})" for contest in contests]
    rows.append(["RSS MB with open streams (how many)", *held])
    rows.append(["failed calls", *(str(contest.errors) for contest in contests)])
    return table(["", *(f"{contest.gateway} {contest.version}" for contest in contests)], rows)


def _ratios(result: Contests) -> str:
    rows = []
    ours, relay = result.of("lmaas"), result.of(RELAY)
    if ours is not None and relay is not None:
        beyond = [
            mine - least
            for mine, least in zip(ours.values("added_p50_ms"), relay.values("added_p50_ms"), strict=True)
        ]
        rows.append(["lmaas's added p50 ms at one connection, beyond the relay's", spread(beyond, 3)])
    for who, unit, peer, _ in _LIMITS:
        one, other = result.of(who), result.of(peer)
        if one is not None and other is not None:
            ratios = one.ratios(other, dict(_COSTS)[unit])
            rows.append([f"{who}'s share of {peer}'s CPU per {unit}", spread(ratios, 3)])
    return table(("of the same round", "median (range)"), rows)


SECTION = Section(
    name="gateways",
    title="Gateways before mock replicas",
    result=Contests,
    measure=measure,
    judge=judge,
    describe=describe,
)
