"""A database that hangs, or is gone: who may call is served, who may not is not, and the books are whole."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from drill.ledger import compare
from drill.load import Clients, call, knocking, outcomes, percentile_ms
from drill.site import site_of, tell

if TYPE_CHECKING:
    from pathlib import Path

    from drill.site import Stores

SECONDS = float(os.environ.get("LMAAS_TEST_DRILL_OUTAGE_S", "6"))
REVOKED_WITHIN_S = 5.0
"""What the gateway promises."""


@pytest.mark.parametrize("how", ["paused", "stopped"])
@pytest.mark.timeout(SECONDS + 240)
async def test_database_that_is_away_refuses_nobody_and_loses_nothing(
    tmp_path: Path, stores: Stores, how: str
) -> None:
    postgres, _ = stores
    # Keys are known for less time than the outage takes, or it would not be felt.
    identity = {"cache_s": min(10.0, SECONDS / 4)}
    async with site_of(tmp_path, *stores, identity=identity) as site:
        keys = [await site.new_key(f"caller {number}") for number in range(4)]
        revoked, last = await site.new_key("revoked before"), await site.new_key("revoked at the last moment")
        for history in site.histories:
            for key in (*keys, revoked, last):
                assert (await call(history, key)).outcome == "ok"
        await site.revoke(revoked)
        await asyncio.sleep(REVOKED_WITHIN_S)
        clients = Clients(site.histories, keys, 12)
        async with clients.calling():
            await asyncio.sleep(1)
            await site.revoke(last)
            began_s = time.monotonic()

            def is_over() -> bool:
                return time.monotonic() > began_s + SECONDS

            await asyncio.to_thread(postgres.pause if how == "paused" else postgres.stop)
            before, late = await asyncio.gather(
                knocking(site.histories, revoked, is_over), knocking(site.histories, last, is_over)
            )
            await asyncio.to_thread(postgres.resume if how == "paused" else postgres.start)
            ended_s = time.monotonic()
            await asyncio.sleep(1)
        told = [one for history in site.histories for one in history.calls]
        attempts = site.attempts()
        await site.ledger.until_has(
            (one.request_id for one in told if one.request_id in attempts), within_s=60 + SECONDS
        )
        found = compare(site.ledger.rows(), attempts, told)
        during = [one for _, one in clients.since(began_s, ended_s)]
        still = max((at_s - began_s for at_s, one in late if one.status == 200), default=0.0)
        tell(
            f"PostgreSQL {how} for {SECONDS:g} s",
            f"{len(during):,} calls of valid keys meanwhile: {outcomes(during)}; first byte p50 "
            f"{percentile_ms(during, 0.5):.1f} ms, p99 {percentile_ms(during, 0.99):.1f} ms",
            f"{len(before) + len(late):,} calls of revoked keys: "
            f"{outcomes([one for _, one in (*before, *late)])}; the one revoked at the very last moment was "
            f"last served after {still:.1f} s",
            f"{found.calls:,} calls in the books, {found.billed_tokens:,} tokens billed, "
            f"{found.made_tokens:,} made",
        )
        assert Counter(one.outcome for _, one in clients.told).keys() == {"ok"}
        assert {one.status for _, one in before} == {401}
        assert still < 1, "both gateways are told through Valkey"
        assert not found.problems
        assert found.billed_tokens == found.made_tokens
