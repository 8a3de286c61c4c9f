"""The section on tenants: its stores are real ones in small, its verdicts those of the figures."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import tenancy
from bench.authentication import Authentication, authenticate
from bench.big_ledger import Month, ask_for_month
from bench.made_rounds import round_of
from bench.side_by_side import Contest
from bench.tenants import Store, TenantGateway

if TYPE_CHECKING:
    from support.store_servers import PostgresServer


def contest_of(name: str, cpu_us: float) -> Contest:
    return Contest(
        gateway=name,
        version="1",
        rounds=(round_of(cpu_us),),
        idle_rss_bytes=1,
        open_streams_rss_bytes=1,
        open_streams=1,
    )


KNOWN = Authentication(
    store="SQLite",
    keys=100_000,
    asked=2_000,
    cold_p50_ms=0.5,
    cold_p99_ms=12.0,
    warm_p50_us=2.0,
    warm_p99_us=9.0,
)
MONTH = Month(
    rows=10_000_000,
    calls=5_000_000,
    projects=50,
    median_s=0.1,
    slowest_s=0.2,
    is_right=True,
    added_up_s=4.0,
)
TENANTS = tenancy.Tenants(
    contests=(
        contest_of(tenancy.OURS, 80),
        contest_of(tenancy.ROUTER, 100),
        contest_of(tenancy.LITELLM, 9000),
    ),
    absent=(),
    authentications=(KNOWN,),
    month=MONTH,
)


def test_figures_are_held_against_the_goals() -> None:
    words = {verdict.goal.partition(":")[0]: verdict.word for verdict in tenancy.judge(TENANTS)[2:]}
    share, times = tenancy.judge(TENANTS)[:2]
    assert (share.measured, share.word) == (0.8, "met")
    assert (times.measured, times.word) == (112.5, "met")
    assert words["authentication p99 ≤ 1 ms, warm, of 100,000 keys"] == "met"
    assert words["authentication p99 ≤ 10 ms, cold, of 100,000 keys"] == "**missed**"
    wrong = replace(TENANTS, month=replace(MONTH, is_right=False))
    assert tenancy.judge(wrong)[-1].word == "**missed**"


def test_page_tells_what_litellm_ran_without() -> None:
    text = tenancy.describe(TENANTS)
    assert "without its database" in text
    assert "| SQLite, 100,000 keys | 0.50 | 12.00 | 2.0 | 9.0 |" in text
    assert "gives the same" in text


async def test_key_of_a_furnished_store_is_known(tmp_path: Path) -> None:
    store = Store.in_folder(tmp_path)
    keys = await store.furnish(8)
    found = await authenticate("SQLite", store, keys, 5)
    assert (found.keys, found.asked) == (8, 5)
    assert found.cold_p99_ms > 0


async def test_month_of_a_filled_ledger_is_right(postgres: PostgresServer) -> None:
    postgres.run("CREATE DATABASE month")
    url = postgres.url("month")
    month = await ask_for_month(url, 2_000, lambda statement: postgres.run(statement, "month"))
    assert month.is_right
    assert (month.rows, month.calls, month.projects) == (2_000, 1_000, 50)


def test_gateway_with_tenants_is_told_where_they_are(tmp_path: Path) -> None:
    store = Store.in_folder(tmp_path / "data")
    gateway = TenantGateway(
        name=tenancy.OURS, package="lmaas", python=Path(sys.executable), key="k", store=store
    )
    command = gateway.command(port=8123, replicas=["http://127.0.0.1:9001"], folder=tmp_path)
    written = json.loads((tmp_path / "tenants-8123.yaml").read_text())
    assert command[-1] == "8123"
    assert (written["open"], written["keys"]) == (False, [])
    assert written["data_dir"] == str(tmp_path / "data")
    assert written["models"][0]["price"]
