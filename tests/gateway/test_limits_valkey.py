"""Limits that several gateways share, on a real Valkey: exact in a crowd, and what holds while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.limits.rules import Limit
from lmaas_gateway.limits.table import Stamp, Table
from lmaas_gateway.limits.valkey.store import SpareStamp, ValkeyStore
from lmaas_gateway.testing import FakeReplica, Script
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.store_servers import ValkeyServer

KEY = "0123456789abcdef"
AUTH = f"authorization: Bearer {KEY}"
COST = [1, 10, 0, 1, 10]
LIMITS = (
    Limit("key", "k", "requests", 5, "minute"),
    Limit("organization", "o", "tokens", 100, "day"),
    Limit("project", "p", "tokens", 1000, "month"),
    Limit("key", "k", "calls_in_flight", 3),
)


@contextlib.asynccontextmanager
async def store_at(url: str, share: float = 0.5, timeout_s: float = 10.0) -> AsyncIterator[ValkeyStore]:
    """A store that waits for a server that is merely slow, as on a busy machine."""
    store = ValkeyStore(url, Table.in_memory(256), share=share, timeout_s=timeout_s)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def total(store: ValkeyStore, *limits: Limit) -> list[int]:
    """What counters have come to, by asking for nothing."""
    counters = [store.counter(limit) for limit in limits]
    await store.reserve(counters, [0] * 5)
    return [store.total(counter) for counter in counters]


async def test_takes_from_all_counters_or_from_none(valkey_url: str) -> None:
    async with store_at(valkey_url) as store:
        counters = [store.counter(limit) for limit in LIMITS]
        stamps = [await store.reserve(counters, COST) for _ in range(3)]
        assert all(isinstance(stamp, Stamp) for stamp in stamps)
        refusals = await store.reserve(counters, COST)
        assert isinstance(refusals, list)
        assert [refusal.counter.limit.metric for refusal in refusals] == ["calls_in_flight"]
        assert await total(store, *LIMITS) == [3, 30, 30, 3]
        for stamp in stamps:
            assert isinstance(stamp, Stamp)
            store.give_back(counters, [0, 4, 0, 1, 10], stamp)
        assert await total(store, *LIMITS) == [3, 18, 18, 0]
        refused = await store.reserve(counters, [1, 90, 0, 1, 90])
        assert isinstance(refused, list)
        assert refused[0].left == 82
        assert 0 < refused[0].wait_s <= 86_400


async def test_minute_is_told_when_it_has_room_and_cost_that_never_fits_that_it_has_not(
    valkey_url: str,
) -> None:
    async with store_at(valkey_url) as store:
        counters = [store.counter(LIMITS[0])]
        for _ in range(5):
            await store.reserve(counters, COST)
        refusals = await store.reserve(counters, COST)
        assert isinstance(refusals, list)
        assert 58 < refusals[0].wait_s <= 61
        never = await store.reserve([store.counter(LIMITS[1])], [1, 500, 0, 1, 500])
        assert isinstance(never, list)
        assert never[0].wait_s == float("inf")


async def test_what_a_killed_process_had_in_flight_is_free_again(valkey_url: str) -> None:
    async with store_at(valkey_url) as living:
        killed = ValkeyStore(valkey_url, Table.in_memory(64), share=0, timeout_s=10)
        await killed._beat()
        await killed.reserve([killed.counter(LIMITS[3])], COST)
        assert await total(living, LIMITS[3]) == [1]
        wire = killed._wire
        assert wire is not None
        # As if it had said nothing for long.
        await wire.ask(b"ZADD", b"{lmaas}:limits:processes", b"1", killed._process)
        await living._beat()
        assert await total(living, LIMITS[3]) == [0]
        # It was only stopped: it goes on under another name, with what it has in flight.
        await killed._beat()
        assert await total(living, LIMITS[3]) == [1]
        await killed.close()


async def test_flushed_server_learns_again_what_is_in_flight(valkey_url: str) -> None:
    async with store_at(valkey_url) as store:
        counters = [store.counter(LIMITS[3])]
        stamp = await store.reserve(counters, COST)
        assert isinstance(stamp, Stamp)
        wire = store._wire
        assert wire is not None
        await wire.ask(b"FLUSHALL")
        await store._beat()
        assert await total(store, LIMITS[3]) == [1]
        store.give_back(counters, [0, 0, 0, 1, 0], stamp)
        assert await total(store, LIMITS[3]) == [0]


async def test_call_that_leaves_while_it_waits_holds_nothing(valkey_url: str) -> None:
    async with store_at(valkey_url) as store:
        counters = [store.counter(LIMITS[3])]
        waiting = asyncio.ensure_future(store.reserve(counters, COST))
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        for _ in range(20):
            if await total(store, LIMITS[3]) == [0]:
                break
            await asyncio.sleep(0.01)
        assert await total(store, LIMITS[3]) == [0]


async def test_time_for_which_the_loop_stood_still_is_not_the_servers(valkey_url: str) -> None:
    async with store_at(valkey_url) as store:
        counters = [store.counter(LIMITS[0])]
        waiting = [asyncio.ensure_future(store.reserve(counters, COST)) for _ in range(8)]
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 - which is what is to be shown
        taken = await asyncio.gather(*waiting)
        assert sum(isinstance(one, Stamp) for one in taken) == 5
        assert store.is_up


async def test_stopped_server_holds_no_call_up_and_every_process_lets_its_part_through(
    new_valkey: Callable[[], ValkeyServer],
) -> None:
    server = new_valkey()
    server.start()
    limit = Limit("key", "k", "requests", 10, "minute")
    async with store_at(server.url, share=0.3, timeout_s=0.5) as store:
        counters = [store.counter(limit)]
        server.signal(signal.SIGSTOP)
        begun_s = time.monotonic()
        taken = [await store.reserve(counters, COST) for _ in range(6)]
        assert time.monotonic() - begun_s < 2, "one of the six waits, and no other"
        spare = [stamp for stamp in taken if isinstance(stamp, SpareStamp)]
        assert len(spare) == 3
        server.signal(signal.SIGCONT)
        for stamp in spare:
            store.give_back(counters, [0, 0, 0, 1, 10], stamp)
        for _ in range(100):
            await store._beat()
            if store.is_up:
                break
            await asyncio.sleep(0.02)
        # What was used meanwhile counts for all.
        await asyncio.sleep(0.05)
        assert await total(store, limit) in ([3], [4])


async def test_server_that_is_killed_and_started_again_is_used_again(
    new_valkey: Callable[[], ValkeyServer],
) -> None:
    server = new_valkey()
    server.start()
    async with store_at(server.url) as store:
        counters = [store.counter(LIMITS[0])]
        assert isinstance(await store.reserve(counters, COST), Stamp)
        server.kill()
        assert isinstance(await store.reserve(counters, COST), SpareStamp)
        server.start()
        await store._beat()
        assert isinstance(await store.reserve(counters, COST), Stamp)


async def test_server_that_is_away_at_the_start_refuses_what_is_limited_if_nothing_may_pass() -> None:
    async with store_at("redis://127.0.0.1:1/0", share=0) as store:
        refusals = await store.reserve([store.counter(LIMITS[0])], COST)
        assert isinstance(refusals, list)


def limited(url: str, replica: FakeReplica, **limits: Any) -> Any:
    keys = [{"name": "tight", "key": KEY, "limits": limits}]
    return settings_for(replica, keys=keys, storage={"valkey_url": url})


async def test_two_gateways_let_exactly_a_hundred_of_a_thousand_calls_through(
    valkey_url: str,
) -> None:
    async with FakeReplica(script=Script(tokens=1)) as replica:
        settings = limited(valkey_url, replica, requests_per_minute=100)
        settings = settings.model_copy(
            update={"limits": settings.limits.model_copy(update={"store_timeout_s": 5.0})}
        )
        async with run_gateway(settings) as one, run_gateway(settings) as two:
            statuses: list[int] = []

            async def call(port: int, count: int) -> None:
                async with raw_client(port) as client:
                    for _ in range(count):
                        client.send(request_bytes(CHAT, ASK, AUTH))
                        statuses.append((await client.response()).status)

            await asyncio.gather(*(call(port, 10) for port in (one.port, two.port) for _ in range(50)))
            assert len(statuses) == 1000
            assert statuses.count(200) == 100
            assert statuses.count(429) == 900
    assert replica.requests == 100


async def test_headers_tell_what_all_gateways_together_have_left(valkey_url: str) -> None:
    async with FakeReplica() as replica:
        settings = limited(valkey_url, replica, requests_per_minute=5, tokens_per_day=20_000)
        async with run_gateway(settings) as one, run_gateway(settings) as two:
            for running in (one, two, one):
                reply = await running.post(CHAT, {**ASK, "max_tokens": 5}, AUTH)
                assert reply.status == 200
            assert reply.headers["x-ratelimit-remaining-requests"] == "2"
            assert int(reply.headers["x-ratelimit-limit-tokens"]) == 20_000
            await one.logged(2)
            assert one.gateway.limiter.reserved_tokens == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_gateway_serves_on_while_the_store_is_away(
    stream: bool,
    new_valkey: Callable[[], ValkeyServer],
) -> None:
    server = new_valkey()
    server.start()
    async with FakeReplica() as replica:
        settings = limited(server.url, replica, requests_per_minute=1000)
        async with run_gateway(settings) as running:
            assert (await running.post(CHAT, ASK, AUTH)).status == 200
            server.signal(signal.SIGSTOP)
            try:
                for _ in range(5):
                    begun_s = time.monotonic()
                    assert (await running.post(CHAT, {**ASK, "stream": stream}, AUTH)).status == 200
                    assert time.monotonic() - begun_s < 3
            finally:
                server.signal(signal.SIGCONT)
