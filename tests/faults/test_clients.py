"""Clients that leave, read slowly, or send what they should not: F16 to F21."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from faults.clients import CHAT, KEY, asking
from faults.gateways import metric
from faults.world import replicas_here, world_of
from lmaas_gateway.testing import Script
from support.stub import ask, request_bytes

if TYPE_CHECKING:
    from lmaas_gateway.testing import Attempt


async def ended(world: Any, request_id: str) -> Attempt:
    """Wait until the replica knows that a call is over."""

    def seen() -> list[Attempt]:
        return [one for one in world.attempts() if one.request_id == request_id and one.outcome is not None]

    await world.until(seen)
    return seen()[0]


@pytest.mark.fault("F16")
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize(
    ("stream", "events", "script"),
    [
        (False, 0, {"headers_delay_s": 30}),
        (True, 0, {"headers_delay_s": 30}),
        (True, 0, {"first_token_delay_s": 30}),
        (True, 4, {"token_gap_s": 0.02}),
    ],
    ids=["plain", "before-headers", "before-first-token", "mid-stream"],
)
async def test_client_gone_frees_its_replica(
    stream: bool, events: int, script: dict[str, Any], reset: bool
) -> None:
    async with replicas_here(2) as replicas, world_of(*replicas) as world:
        async with world.history.open(asking(stream=stream, tokens=500, **script)) as talk:
            await world.until(lambda: sum(one.running() for one in replicas) == 1)
            if events:
                await talk.until_events(events)
            left_s = time.monotonic()
            talk.leave(reset=reset)
        attempt = await ended(world, talk.told.request_id)
        assert attempt.outcome == "aborted"
        assert attempt.ended_at_s is not None
        assert attempt.ended_at_s - left_s < 1
        await world.until(world.gateway.access_log)
        line = world.line_of(talk.told)
        assert (line["status"], line["outcome"]) == (499, "client_gone")
        assert await metric(world.gateway.port, "lmaas_replica_failures_total") == 0


@pytest.mark.fault("F17")
async def test_slow_reader_holds_back_its_replica_and_nobody_else() -> None:
    giant = Script(tokens=1000, text="x" * 2**16)
    async with (
        replicas_here(1) as (replica,),
        world_of(replica, deadline_s=30) as world,
        world.history.open(asking(stream=True, tokens=1000), receive_bytes=4096) as slow,
    ):
        replica.fake.scripts.append(giant)
        await world.until(lambda: replica.running() == 1)
        before = await world.gateway.vitals()
        told = await world.history.calls_of(*[asking(stream=True, token_gap_s=0.01) for _ in range(20)])
        assert {one.outcome for one in told} == {"ok"}
        assert max(one.took_s for one in told) < 2
        sent = max(call.sent_bytes for call in replica.fake.calls)
        assert sent < 2**24, "the replica must be held back"
        after = await world.gateway.vitals()
        assert after.rss_bytes - before.rss_bytes < 2**24
        slow.leave()


HOSTILE = {
    "deep": b'{"model":"mock","messages":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "open": b"[" * 100_000,
    "nan": b'{"model":"mock","messages":[],"temperature":NaN}',
    "infinity": b'{"model":"mock","messages":[],"temperature":-Infinity}',
    "huge-float": b'{"model":"mock","messages":[],"n":1e400}',
    "huge-int": b'{"model":"mock","messages":[],"n":' + b"9" * 1_000_000 + b"}",
    "surrogate": b'{"model":"\\ud800","messages":[]}',
    "nul": b'{"model":"mo\\u0000ck","messages":[]}',
    "raw-nul": b'{"model":"mock\x00","messages":[]}',
    "not-utf8": b'{"model":"\xff\xfe","messages":[]}',
    "twice": b'{"model":"mock","model":"other","messages":[]}',
    "number-model": b'{"model":7,"messages":[]}',
    "empty": b"",
    "null": b"null",
}


@pytest.mark.fault("F20")
async def test_hostile_json_is_refused_and_costs_little() -> None:
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        for name, body in HOSTILE.items():
            started = time.monotonic()
            reply = await ask(world.gateway.port, request_bytes(CHAT, body, f"authorization: Bearer {KEY}"))
            took_s = time.monotonic() - started
            assert 400 <= reply.status < 500, f"{name}: {reply.status} {reply.body[:200]!r}"
            assert reply.error["message"], name
            assert took_s < 1, f"{name} took {took_s:.2f} s"
        assert (await world.history.call(asking())).outcome == "ok"


@pytest.mark.fault("F20")
async def test_hostile_json_that_hypothesis_finds_is_never_a_crash() -> None:
    from hypothesis import HealthCheck, given, settings  # noqa: PLC0415 - one test's
    from hypothesis import strategies as st  # noqa: PLC0415 - likewise

    pieces = st.sampled_from(
        [
            b"{",
            b"}",
            b"[",
            b"]",
            b'"model"',
            b'"mock"',
            b":",
            b",",
            b"1e400",
            b"NaN",
            b'"\\ud800"',
            b"\x00",
            b"\xff",
        ]
    )
    async with replicas_here(1) as replicas, world_of(*replicas) as world:
        loop = asyncio.get_running_loop()

        async def offer(body: bytes) -> int:
            lines = request_bytes(CHAT, body, f"authorization: Bearer {KEY}")
            return (await ask(world.gateway.port, lines)).status

        @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(pieces, max_size=20).map(b"".join))
        def run(body: bytes) -> None:
            status = asyncio.run_coroutine_threadsafe(offer(body), loop).result(20)
            assert 400 <= status < 500

        await asyncio.to_thread(run)
