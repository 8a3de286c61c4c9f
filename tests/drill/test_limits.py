"""A limit lets exactly as many calls through as it says, however many come at once, wherever they come."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from drill.load import call, outcomes
from drill.site import site_of, tell

if TYPE_CHECKING:
    from pathlib import Path

    from drill.site import Stores

CALLS, LIMIT = 1000, 100


@pytest.mark.timeout(180)
async def test_two_gateways_let_exactly_as_many_calls_through_as_the_limit_says(
    tmp_path: Path, stores: Stores
) -> None:
    # A key that is new to both gateways is looked up while a thousand calls begin: where something else keeps
    # the machine busy, PostgreSQL takes up to a second for it, which is not what is tried here.
    async with site_of(tmp_path, *stores, storage={"deadline_s": 5}) as site:
        key, other = await site.new_key("limited"), await site.new_key("not limited")
        await site.limit(key, "requests", "day", LIMIT)
        for history in site.histories:
            assert (await call(history, other)).outcome == "ok"
        began_s = time.monotonic()
        told = await asyncio.gather(*(call(site.histories[number % 2], key) for number in range(CALLS)))
        took_s = time.monotonic() - began_s
        served = [one for one in told if one.outcome == "ok"]
        refused = [one for one in told if one.outcome != "ok"]
        by_gateway = [sum(one in served for one in history.calls) for history in site.histories]
        asked = sum(one.request_id in site.attempts() for one in told)
        tell(
            f"{CALLS:,} calls at once on two gateways, limit {LIMIT}",
            f"{len(served)} served ({by_gateway[0]} and {by_gateway[1]}), {len(refused)} refused, "
            f"in {took_s:.1f} s",
            f"{asked} reached a replica; {outcomes(told)}",
        )
        assert len(served) == asked == LIMIT
        assert {one.status for one in refused} == {429}
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        await site.ledger.until_has(one.request_id for one in served)
        rows = site.ledger.rows()
        assert sum(rows[one.request_id][0].outcome == "ok" for one in told if one.request_id in rows) == LIMIT
