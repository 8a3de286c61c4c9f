"""More calls than there is room for, pauses; equal and repeated calls: F9, F14, F22 to F25, F33."""

from __future__ import annotations

import asyncio
import email.utils
import time
from typing import TYPE_CHECKING

import pytest

from faults.clients import ASK, KEY, STREAM, asking
from faults.gateways import metric
from faults.world import replicas_here, world_of
from lmaas import InternalServerError, RateLimitError, ServiceUnavailableError
from lmaas_gateway.testing import FaultProxy, Script
from lmaas_gateway.testing.toxics import ResetPeer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lmaas_gateway.testing import Attempt


def in_seconds(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.fault("F9")
# A pause is read in one place for both; tests/gateway/test_failover.py has more of them.
@pytest.mark.parametrize(
    ("pause", "status"),
    [
        ("30", 429),
        ("30", 503),
        ("date", 503),
        ("1e9", 429),
        ("999999999", 503),
        ("0", 429),
        ("-5", 503),
        ("soon", 429),
        ("", 503),
    ],
)
async def test_busy_replica_is_left_alone_and_others_serve(pause: str, status: int) -> None:
    value = in_seconds(30) if pause == "date" else pause
    async with replicas_here(2) as (busy, free), world_of(busy, free) as world:
        busy.fake.script = Script(status=status, headers=(("retry-after", value),))
        told = [await world.history.call(asking(stream=n % 2 == 0)) for n in range(6)]
        assert {one.outcome for one in told} == {"ok"}
        if pause in {"30", "date"}:
            asked = [
                one for one in world.attempts() if one.request_id in {a.request_id for a in busy.attempts()}
            ]
            assert len({one.request_id for one in asked}) <= 1, "it asked to be left alone"


@pytest.mark.fault("F9")
@pytest.mark.parametrize("pause", ["7", "999999999", "soon"])
async def test_pause_that_all_replicas_ask_for_is_passed_on_within_reason(pause: str) -> None:
    async with replicas_here(1) as (replica,), world_of(replica) as world:
        replica.fake.script = Script(status=503, headers=(("retry-after", pause),))
        told = await world.history.call(asking())
        assert told.status in {429, 503}
        assert told.code == "replica_busy"
        seconds = int(told.headers["retry-after"])
        assert seconds == 7 if pause == "7" else 1 <= seconds <= 86400


@pytest.mark.fault("F9")
async def test_sdk_waits_as_it_is_told_and_not_longer_than_it_may() -> None:
    async with replicas_here(1) as (replica,), world_of(replica) as world:
        replica.fake.scripts.append(Script(status=503, headers=(("retry-after", "1"),)))
        async with world.sdk(max_retries=2) as client:
            started = time.monotonic()
            assert (await client.chat.completions.create(**ASK)).choices
            assert 1 <= time.monotonic() - started < 10
            replica.fake.scripts.append(Script(status=503, headers=(("retry-after", "500"),)))
            started = time.monotonic()
            with pytest.raises((ServiceUnavailableError, RateLimitError)) as caught:
                await client.with_options(timeout=5).chat.completions.create(**ASK)
            assert time.monotonic() - started < 4, "it does not even wait out its own timeout"
            assert (caught.value.retry_after_s or 0) > 5


@pytest.mark.fault("F14")
async def test_endless_stream_is_cut_and_its_replica_freed() -> None:
    endless = {**STREAM, "fake": {"tokens": 10**8}}
    async with replicas_here(1) as (replica,), world_of(replica, max_reply_bytes=2**20) as world:
        told = await world.history.call(endless)
        assert told.outcome == "interrupted"
        assert 2**19 < len(told.body) < 2**21
        await world.until(lambda: not replica.running())
        async with world.sdk() as client:
            stream = await client.chat.completions.create(
                **ASK, stream=True, extra_body={"fake": {"tokens": 10**8}}
            )
            with pytest.raises(Exception, match=r".") as caught:
                [chunk async for chunk in stream]
            assert type(caught.value).__module__.startswith("lmaas")


@pytest.mark.fault("F14")
async def test_giant_event_is_not_held_in_memory() -> None:
    async with replicas_here(1) as (replica,), world_of(replica) as world:
        replica.fake.scripts.append(Script(events=("data: " + "x" * 50 * 2**20 + "\n\n",)))
        before = await world.gateway.vitals()
        told = await world.history.call(asking(stream=True))
        assert told.outcome in {"error", "interrupted"}
        assert len(told.body) < 2**21
        assert (await world.gateway.vitals()).rss_bytes - before.rss_bytes < 150 * 2**20


CAPACITY_PER_S = 4 / 0.2


@pytest.mark.alone
@pytest.mark.fault("F22")
async def test_twenty_times_the_capacity_is_refused_early_and_served_at_full_speed() -> None:
    async with (
        replicas_here(1, headers_delay_s=0.2) as replicas,
        world_of(*replicas, model={"max_in_flight": 4}, queue={"max_queued": 20, "timeout_s": 1.0}) as world,
    ):
        seconds, asked = 3.0, []
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            asked.append(asyncio.create_task(world.history.call(asking(tokens=1))))
            await asyncio.sleep(1 / (20 * CAPACITY_PER_S))
        told = await asyncio.gather(*asked)
        elapsed_s = max(one.ended_s or 0 for one in told) - started
        served = [one for one in told if one.outcome == "ok"]
        refused = [one for one in told if one.outcome == "error"]
        assert len(served) + len(refused) == len(told)
        assert len(served) >= 0.7 * CAPACITY_PER_S * elapsed_s
        assert {one.status for one in refused} <= {429, 503}
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert max(one.took_s for one in served) < 1.0 + 0.2 + 1.0
        early = sorted(one.took_s for one in refused)
        assert early[len(early) // 2] < 0.5, "who has no chance is told at once"
        assert (await world.history.call(asking(tokens=1))).took_s < 1, "recovery is immediate"


@pytest.mark.fault("F23")
async def test_a_thousand_equal_calls_are_one_call_of_the_replica() -> None:
    equal = {**asking(headers_delay_s=0.3), "temperature": 0}
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, cache={"enabled": True}, deadline_s=30) as world,
    ):
        told = await world.history.calls_of(*[equal] * 1000)
        assert {one.outcome for one in told} == {"ok"}
        assert len(world.attempts()) == 1
        assert len({one.body for one in told}) == 1


NOISY_KEY = "canary-key-of-the-noisy-tenant"


@pytest.mark.alone
@pytest.mark.fault("F24")
async def test_quiet_tenant_passes_the_queue_of_a_noisy_one() -> None:
    keys = [{"name": "quiet", "key": KEY}, {"name": "noisy", "key": NOISY_KEY}]
    async with (
        replicas_here(1, headers_delay_s=0.1) as replicas,
        world_of(*replicas, api_key=None, keys=keys, model={"max_in_flight": 10}, deadline_s=30) as world,
    ):
        alone = [(await world.history.call(asking(tokens=4))).took_s for _ in range(5)]

        async def be_noisy() -> None:
            for _ in range(6):
                async with world.history.open(asking(tokens=4), key=NOISY_KEY) as talk:
                    await talk.finish()

        noise = [asyncio.create_task(be_noisy()) for _ in range(100)]
        await world.until(lambda: len(world.history.calls) >= 105)
        beside = sorted([(await world.history.call(asking(tokens=4))).took_s for _ in range(20)])
        assert beside[17] < 1.5 * max(alone) + 0.05, f"alone {alone}, beside {beside}"
        for one in noise:
            one.cancel()
        await asyncio.gather(*noise, return_exceptions=True)


def most_at_once(attempts: Sequence[Attempt]) -> int:
    """How many were under way at the same time."""
    changes = sorted(
        change for one in attempts for change in ((one.at_s, 1), (one.ended_at_s or float("inf"), -1))
    )
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


@pytest.mark.fault("F25")
async def test_workers_hold_a_bound_together(tmp_path: Path) -> None:
    async with (
        replicas_here(1, headers_delay_s=0.05) as replicas,
        world_of(
            *replicas,
            process_in=tmp_path,
            workers=4,
            model={"max_in_flight": 8},
            queue={"timeout_s": 60.0, "max_queued": 2000},
            deadline_s=60,
            timeouts={"first_byte_s": 30},
        ) as world,
    ):
        world.is_stopped = True  # several processes: descriptors and tasks of one say nothing
        told = await world.history.calls_of(*[asking(tokens=1)] * 300, within_s=60)
        assert {one.outcome for one in told} == {"ok"}
        assert most_at_once(world.attempts()) <= 8 + 3, "at most one more for each further worker"
        assert await metric(world.gateway.port, "lmaas_requests_in_flight") == 0


def keyed(key: str) -> str:
    return f"idempotency-key: {key}"


@pytest.mark.fault("F33")
async def test_repeated_call_costs_its_replica_nothing() -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        first = await world.history.call(asking(), keyed("one"))
        again = await world.history.call(asking(), keyed("one"))
        other = await world.history.call(asking(tokens=3), keyed("one"))
        assert (first.outcome, again.outcome) == ("ok", "ok")
        assert again.body == first.body
        assert (other.status, other.code) == (422, "idempotency_mismatch")
        assert len(world.attempts()) == 1
        assert world.line_of(again)["completion_tokens"] == 0, "not billed twice"


@pytest.mark.fault("F33")
async def test_twin_of_a_call_in_flight_is_told_so() -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        first = asyncio.create_task(world.history.call(asking(headers_delay_s=0.7), keyed("two")))
        await world.until(lambda: replicas[0].running() == 1)
        twin = await world.history.call(asking(headers_delay_s=0.7), keyed("two"))
        assert (twin.status, twin.code) == (409, "idempotency_in_flight")
        assert (await first).outcome == "ok"
        assert len(world.attempts()) == 1


@pytest.mark.fault("F33")
async def test_sdk_that_lost_its_reply_gets_it_without_another_run() -> None:
    async with (
        replicas_here(1) as (replica,),
        world_of(replica) as world,
        FaultProxy(f"http://127.0.0.1:{world.gateway.port}") as proxy,
        world.sdk(base_url=f"{proxy.url}/v1", max_retries=3) as client,
    ):
        proxy.to_client.append(ResetPeer())
        asked = asyncio.create_task(client.chat.completions.create(**ASK))
        await world.until(lambda: replica.fake.requests == 4 + 1)
        await world.until(lambda: not replica.running())
        await asyncio.sleep(0.1)
        proxy.heal()
        assert (await asked).choices
        assert replica.fake.requests == 4 + 1, "the first run's reply was given"


@pytest.mark.fault("F33")
async def test_failed_call_may_run_again_under_its_key() -> None:
    async with replicas_here(1) as (replica,), world_of(replica) as world:
        replica.fake.scripts.append(Script(status=500))
        first = await world.history.call(asking(), keyed("three"))
        assert first.outcome == "error"
        assert (await world.history.call(asking(), keyed("three"))).outcome == "ok"
        async with world.sdk() as client:
            with pytest.raises(InternalServerError):
                await client.chat.completions.create(**ASK, extra_body={"fake": {"status": 500}})
