"""The section `tenancy`: what keys, limits and books cost a call, and what many keys and calls cost them."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.authentication import Authentication, authenticate
from bench.big_ledger import Month, ask_for_month
from bench.gateways import contestants
from bench.section import Say, Section, Verdict, spread, table
from bench.side_by_side import Contest, Size, compare
from bench.tenants import Store, TenantGateway
from support.store_servers import running_postgres

OURS, ROUTER, LITELLM = "lmaas, tenants", "vllm-router", "litellm"
_SIZE = Size(rounds=5, calls=20_000, single_calls=1_000, streams=600, open_streams=100)
_QUICK = Size(rounds=1, calls=400, single_calls=50, streams=32, open_streams=8)
_KEYS, _ROWS = 100_000, 10_000_000
_QUICK_KEYS, _QUICK_ROWS = 2_000, 100_000
_ASKED = 2_000
_FIGURES = (
    ("CPU µs per plain call", "cpu_us_per_call", 1),
    ("CPU µs per streamed event", "cpu_us_per_event", 2),
    ("calls/s, 32 connections", "calls_per_s", 0),
    ("added p50 ms, 1 connection", "added_p50_ms", 3),
    ("added p99 ms, 1 connection", "added_p99_ms", 3),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """What tenants came to; `absent` names peers that could not be had."""

    contests: tuple[Contest, ...]
    absent: tuple[str, ...]
    authentications: tuple[Authentication, ...]
    month: Month

    def of(self, gateway: str) -> Contest | None:
        """Find one gateway's figures, if it served every call."""
        return next((one for one in self.contests if one.gateway == gateway and not one.errors), None)


def measure(is_quick: bool, say: Say) -> Tenants:
    """Compare the gateways; then ask stores that are full.

    Raises:
        ServerError: lmaas or a replica did not start.
    """
    keys, rows = (_QUICK_KEYS, _QUICK_ROWS) if is_quick else (_KEYS, _ROWS)
    asked = min(_ASKED, keys // 2)
    peers = contestants(os.environ, names=(ROUTER, LITELLM))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, running_postgres("keys", "ledger") as postgres:
        contests = _compare(Path(name) / "one", _QUICK if is_quick else _SIZE, say)
        say(f"{keys:,} keys")
        authentications = []
        for kind, url in (("SQLite", None), ("PostgreSQL", postgres.url("keys"))):
            store = Store.in_folder(Path(name) / kind, url)
            made = asyncio.run(store.furnish(keys))
            authentications.append(asyncio.run(authenticate(kind, store, made, asked)))
            one = authentications[-1]
            say(f"{kind}: cold p99 {one.cold_p99_ms:.2f} ms, warm p99 {one.warm_p99_us:.1f} µs")
        say(f"{rows:,} rows of the ledger")
        month = asyncio.run(
            ask_for_month(postgres.url("ledger"), rows, lambda statement: postgres.run(statement, "ledger"))
        )
        say(f"a month's usage by project: {month.median_s:.3f} s")
    return Tenants(
        contests=tuple(contests),
        absent=tuple(peer.name for peer in peers if peer.name not in {one.gateway for one in contests}),
        authentications=tuple(authentications),
        month=month,
    )


def _compare(folder: Path, size: Size, say: Say) -> list[Contest]:
    store = Store.in_folder(folder)
    (key,) = asyncio.run(store.furnish(1))
    ours = TenantGateway(name=OURS, package="lmaas", python=Path(sys.executable), key=key, store=store)
    return compare([ours, *contestants(os.environ, names=(ROUTER, LITELLM))], size, say)


def judge(result: Tenants | None) -> Sequence[Verdict]:
    """Hold the figures against the goals."""
    share = times = added = warm = cold = month = wrong = None
    if result is not None:
        ours, router, litellm = (result.of(name) for name in (OURS, ROUTER, LITELLM))
        if ours is not None:
            added = ours.median("added_p50_ms")
            share = None if router is None else median(ours.ratios(router, "cpu_us_per_call"))
            times = None if litellm is None else median(litellm.ratios(ours, "cpu_us_per_call"))
        warm = max(one.warm_p99_us for one in result.authentications) / 1e3
        cold = max(one.cold_p99_ms for one in result.authentications)
        month, wrong = result.month.slowest_s, float(not result.month.is_right)
    on = "with keys, limits and books"
    return [
        Verdict(f"CPU per plain call {on}: ≤ 0.9 of vllm-router's", share, 0.9),
        Verdict(f"CPU per plain call {on}: LiteLLM's ≥ 100 times as much", times, 100, is_floor=True),
        Verdict(f"added p50 ≤ 0.3 ms at one connection {on}", added, 0.3),
        Verdict("authentication p99 ≤ 1 ms, warm, of 100,000 keys", warm, 1),
        Verdict("authentication p99 ≤ 10 ms, cold, of 100,000 keys", cold, 10),
        Verdict("a month's usage by project ≤ 1 s, of 10 million calls on PostgreSQL", month, 1),
        Verdict("sums of the month that are not those of its calls", wrong, 0),
    ]


def describe(result: Tenants) -> str:
    """Tell how it was measured, and every figure."""
    absent = f" Not to be had, and so not measured: {', '.join(result.absent)}." if result.absent else ""
    method = (
        "As in *Gateways before mock replicas*, but lmaas has tenants, on SQLite: the caller's key is one of "
        "the store, its calls are held against limits on the requests and tokens of its project a minute and "
        "on its organization's money a month, priced and booked. vllm-router knows no keys at all. LiteLLM "
        "runs with a master key and without its database, which would cost it more: its database client is "
        f"downloaded when it first starts, and not from a package registry.{absent}"
    )
    contests = table(
        ["", *(f"{one.gateway} {one.version}" for one in result.contests)],
        [
            [title, *(spread(one.values(name), digits) for one in result.contests)]
            for title, name, digits in _FIGURES
        ],
    )
    return f"{method}\n\n{contests}\n\n{_authentications(result)}\n\n{_month(result.month)}"


def _authentications(result: Tenants) -> str:
    rows = [
        [
            f"{one.store}, {one.keys:,} keys",
            f"{one.cold_p50_ms:.2f}",
            f"{one.cold_p99_ms:.2f}",
            f"{one.warm_p50_us:.1f}",
            f"{one.warm_p99_us:.1f}",
        ]
        for one in result.authentications
    ]
    header = ("authentication", "cold p50 ms", "cold p99 ms", "warm p50 µs", "warm p99 µs")
    return (
        f"{result.authentications[0].asked:,} keys, drawn at random, are asked for one after another (cold), "
        f"and then again (warm), in the gateway's own process.\n\n{table(header, rows)}"
    )


def _month(month: Month) -> str:
    return (
        f"A ledger of {month.rows:,} calls in a month on PostgreSQL: the usage of one organization, "
        f"{month.calls:,} calls of {month.projects} projects, takes {month.median_s:.3f} s by project "
        f"({month.slowest_s:.3f} s at most), out of the sums by day that are kept with the calls. To add up "
        f"the calls themselves takes {month.added_up_s:.1f} s, and "
        f"{'gives the same' if month.is_right else '**gives something else**'}."
    )


SECTION = Section(
    name="tenancy",
    title="Tenants",
    result=Tenants,
    measure=measure,
    judge=judge,
    describe=describe,
)
