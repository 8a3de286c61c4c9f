"""Gateways killed at random moments under load: the books are the replicas' own count."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from drill.ledger import compare
from drill.load import Clients, outcomes
from drill.site import READY_WITHIN_S, site_of, tell

if TYPE_CHECKING:
    from pathlib import Path

    from drill.site import Site, Stores
    from faults.gateways import GatewayProcess

SECONDS = 60 * float(os.environ.get("LMAAS_TEST_DRILL_MINUTES", "0.25"))
ON_THE_WAY_S = 1.0
"""What a replica sent longer before a kill must be billed; a busy machine may take so long to read it."""


async def kill_at_random(site: Site, seconds: float, source: random.Random) -> int:
    """Kill each gateway again and again, as soon as it serves or later, and start it anew; tell how often."""
    ends_s = time.monotonic() + seconds

    async def kill(gateway: GatewayProcess) -> int:
        kills = 0
        while time.monotonic() < ends_s:
            await asyncio.sleep(source.uniform(0.0, 4.0))
            gateway.signal(signal.SIGKILL)
            await gateway.ended()
            kills += 1
            await gateway.start(within_s=READY_WITHIN_S)
        return kills

    return sum(await asyncio.gather(*map(kill, site.gateways)))


@pytest.mark.timeout(SECONDS + 300)
async def test_books_are_the_replicas_own_count_though_gateways_are_killed_under_load(
    tmp_path: Path, stores: Stores
) -> None:
    seed = random.randrange(2**32)
    # Starting gateways keep a small machine busy; whoever may call shall be let in meanwhile.
    async with site_of(tmp_path, *stores, storage={"deadline_s": 5}) as site:
        keys = [await site.new_key(f"caller {number}") for number in range(4)]
        clients = Clients(site.histories, keys, 16)
        async with clients.calling():
            kills = await kill_at_random(site, SECONDS, random.Random(seed))
        told = [one for history in site.histories for one in history.calls]
        attempts = site.attempts()
        await site.ledger.until_has({one.request_id for one in told} & set(attempts))
        found = compare(site.ledger.rows(), attempts, told)
        tell(
            f"{kills} kills -9 in {SECONDS / 60:g} minutes, seed {seed}",
            f"{len(clients.told):,} calls: {outcomes([one for _, one in clients.told])}",
            f"{found.calls:,} calls reached a replica; each stands once in the books",
            f"{found.billed_tokens:,} tokens billed; {found.made_tokens:,} made, of which "
            f"{found.on_the_way_tokens:,} were on their way to a gateway that died ({found.cut:,} calls were "
            f"cut), the oldest for {found.on_the_way_s * 1e3:.1f} ms",
        )
        assert not found.problems, f"seed {seed}"
        assert found.billed_tokens + found.on_the_way_tokens == found.made_tokens
        assert found.on_the_way_s < ON_THE_WAY_S
        assert kills
