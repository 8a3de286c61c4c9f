"""Overload: calls come when they are due, each is accounted for once, recovery is told second by second."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from bench import overload
from bench.arrivals import Account, Arrivals, Note, Phase, account, drive, due_times
from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Script
from lmaas_gateway.testing.fast import FastReplica, FastReplies
from lmaas_gateway.testing.pacing import Timing

CALM = Phase(name="calm", seconds=2, calls_per_s=100)
OVER = Phase(name="over", seconds=1, calls_per_s=400)


class TestDueTimes:
    def test_phases_follow_each_other_at_their_rates(self) -> None:
        times = list(due_times((CALM, OVER), random.Random(1)))
        assert times == sorted(times)
        assert sum(time < 2 for time in times) == pytest.approx(200, rel=0.2)
        assert sum(2 <= time < 3 for time in times) == pytest.approx(400, rel=0.2)
        assert times[-1] < 3


class TestAccount:
    def test_calls_count_where_they_were_due_and_replies_where_they_came(self) -> None:
        notes = [
            Note(0.5, 0.1, 200, has_retry_after=False),
            Note(1.9, 0.3, 200, has_retry_after=False),
            Note(2.1, 0.01, 503, has_retry_after=True),
            Note(2.2, 0.02, 429, has_retry_after=False),
            Note(2.3, 5.0, 0, has_retry_after=False),
        ]
        calm, over = account(notes, (CALM, OVER)).phases
        assert (calm.due, dict(calm.statuses), calm.served_per_s) == (2, {200: 2}, 0.5)
        assert (over.due, dict(over.statuses), over.served_per_s) == (3, {503: 1, 429: 1, 0: 1}, 1.0)
        assert over.without_retry_after == 1
        assert [one.served for one in calm.seconds] == [1, 1]
        assert (over.seconds[0].served, over.seconds[0].refused) == (0, 3)
        assert over.refused_p99_ms == pytest.approx(20)


@asynccontextmanager
async def limited_replica() -> AsyncIterator[str]:
    replica = FastReplica(FastReplies.of(FakeModel()), Timing(0.02), slots=2, queue=2)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(replica.connect, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class TestDrive:
    async def test_calls_beyond_the_capacity_are_refused_and_none_is_lost(self) -> None:
        phases = (
            Phase(name="calm", seconds=0.5, calls_per_s=20),
            Phase(name="over", seconds=1, calls_per_s=500),
        )
        async with limited_replica() as address:
            calm, over = (await drive(Arrivals(address=address, phases=phases))).phases
        assert calm.due == sum(calm.statuses.values())
        assert set(over.statuses) == {200, 503}
        assert over.due == sum(over.statuses.values()) > 300
        assert 30 < over.served_per_s <= 110
        assert over.without_retry_after == over.statuses[503]

    @pytest.mark.parametrize("script", [Script(fault=Fault.HANG), Script(fault=Fault.CLOSE), Script(raw="x")])
    async def test_calls_without_a_reply_are_accounted_for(self, script: Script) -> None:
        phases = (Phase(name="calm", seconds=0.3, calls_per_s=50),)
        async with FakeReplica(script=script) as replica:
            arrivals = Arrivals(address=replica.url, phases=phases, patience_s=0.2)
            (calm,) = (await drive(arrivals)).phases
        (refused,) = (await drive(arrivals)).phases
        assert dict(calm.statuses) == dict(refused.statuses) == {0: calm.due}


def overloaded(after: Sequence[tuple[float, int]]) -> overload.Overloaded:
    """Make a result of one call a second after the overload, each with a latency and a status."""
    phases = (
        Phase(name="calm", seconds=2, calls_per_s=1),
        Phase(name="over", seconds=2, calls_per_s=9),
        Phase(name="after", seconds=len(after), calls_per_s=1),
    )
    notes = [Note(0.5, 0.2, 200, has_retry_after=False), Note(1.5, 0.2, 200, has_retry_after=False)]
    notes += [Note(2.5 + number / 10, 0.1, 200, has_retry_after=False) for number in range(3)]
    notes += [Note(2.9, 0.001, 503, has_retry_after=True)]
    for second, (latency_s, status) in enumerate(after):
        notes.append(Note(4.5 + second, latency_s, status, has_retry_after=True))
    return overload.Overloaded(
        capacity_per_s=2,
        peak_per_s=2,
        account=Account(account(notes, phases).phases),
        gateway_cpu_share=0.4,
        rss_bytes=80_000_000,
    )


class TestSection:
    @pytest.mark.parametrize(
        ("after", "expected"),
        [
            ([(0.2, 200)] * 4, 0),
            ([(3.0, 200), (0.2, 503), (0.2, 200), (0.2, 200)], 2),
            ([(0.2, 200), (0.2, 200), (0.2, 200), (3.0, 200)], None),
        ],
    )
    def test_recovery_lasts_until_every_further_second_is_as_before(
        self, after: Sequence[tuple[float, int]], expected: float | None
    ) -> None:
        assert overloaded(after).recovery_s == expected

    def test_goals_are_judged_and_told(self) -> None:
        result = overloaded([(0.2, 200)] * 3)
        goodput, recovery, lost, unnamed = overload.judge(result)
        assert (goodput.measured, goodput.word) == (0.75, "**missed**")
        assert (recovery.measured, lost.measured, unnamed.measured) == (0, 0, 0)
        text = overload.describe(result)
        assert "recovery 0 s" in text
        assert "| over | 4 | 200: 3, 503: 1 | 1.5 |" in text

    def test_no_recovery_is_missed(self) -> None:
        result = overloaded([(3.0, 200)])
        assert overload.judge(result)[1].word == "**missed**"
        assert "not within the run" in overload.describe(result)
