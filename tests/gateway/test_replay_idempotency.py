"""Idempotency-Key over real sockets: twins, other bodies, replays, and calls that came to nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.testing import Ending, FakeReplica, Fault, Point, Script
from support.serving import ASK, CHAT, STREAM, Running, run_gateway, settings_for
from support.stub import Response, raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = "idempotency-key: 6d7f6a9e-0f0b-4d7a-9d0e-0c2f1c1a7e11"


@pytest.fixture
async def replica() -> AsyncIterator[FakeReplica]:
    async with FakeReplica() as replica:
        yield replica


@pytest.fixture(params=["memory", "folder"])
async def running(
    replica: FakeReplica, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    """Either store: they must not differ in anything that a client sees."""
    folder = tmp_path / "kept" if request.param == "folder" else None
    async with run_gateway(settings_for(replica, idempotency={"folder": folder})) as running:
        yield running


def is_replayed(reply: Response) -> bool:
    return reply.headers.get("idempotent-replayed") == "true"


async def test_finished_call_is_replayed_byte_for_byte_and_costs_nothing(
    replica: FakeReplica, running: Running
) -> None:
    first = await running.post(CHAT, ASK, KEY)
    again = await running.post(CHAT, ASK, KEY)
    assert (first.status, again.status, replica.requests) == (200, 200, 1)
    assert again.body == first.body
    assert (is_replayed(first), is_replayed(again)) == (False, True)
    await running.logged(2)
    assert [line["cache"] for line in running.log] == ["", "replayed"]
    assert [line["completion_tokens"] > 0 for line in running.log] == [True, False]
    text = (await running.get("/metrics")).body.decode()
    assert 'lmaas_idempotent_replays_total{model="mock"} 1.0' in text


async def test_finished_stream_is_replayed_as_a_stream(replica: FakeReplica, running: Running) -> None:
    first = await running.post(CHAT, STREAM, KEY)
    again = await running.post(CHAT, STREAM, KEY)
    assert replica.requests == 1
    assert again.body == first.body
    assert again.body.endswith(b"data: [DONE]\n\n")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["cache-control"] == "no-cache"
    assert is_replayed(again)


@pytest.mark.parametrize("ask", [ASK, STREAM])
async def test_twin_in_flight_is_refused_and_told_to_come_back(
    replica: FakeReplica, running: Running, ask: dict[str, Any]
) -> None:
    replica.script = Script(headers_delay_s=1)
    first = asyncio.create_task(running.post(CHAT, ask, KEY))
    await replica.record.until(lambda: replica.requests == 1)
    twin = await running.post(CHAT, ask, KEY)
    assert (twin.status, twin.error["code"]) == (409, "idempotency_in_flight")
    assert twin.headers["retry-after"] == "1"
    assert (await first).status == 200
    assert is_replayed(await running.post(CHAT, ask, KEY))
    assert replica.requests == 1


async def test_other_body_under_the_same_key_is_refused_before_and_after_the_end(
    replica: FakeReplica, running: Running
) -> None:
    replica.script = Script(headers_delay_s=0.2)
    first = asyncio.create_task(running.post(CHAT, ASK, KEY))
    await replica.record.until(lambda: replica.requests == 1)
    other = {**ASK, "max_tokens": 5}
    during = await running.post(CHAT, other, KEY)
    await first
    after = await running.post(CHAT, other, KEY)
    assert [reply.status for reply in (during, after)] == [422, 422]
    assert after.error["code"] == "idempotency_mismatch"
    assert replica.requests == 1


async def test_key_is_of_its_route(replica: FakeReplica, running: Running) -> None:
    body = {"model": "mock", "prompt": "one", "messages": [{"role": "user", "content": "one"}]}
    await running.post(CHAT, body, KEY)
    assert not is_replayed(await running.post("/v1/completions", body, KEY))
    assert replica.requests == 2


async def test_calls_without_a_key_run_each(replica: FakeReplica, running: Running) -> None:
    for _ in range(2):
        await running.post(CHAT, ASK)
    assert replica.requests == 2


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "k\u00e9y", "tab\tkey"])
async def test_key_that_cannot_be_one_is_refused(replica: FakeReplica, running: Running, key: str) -> None:
    reply = await running.post(CHAT, ASK, f"idempotency-key: {key}")
    assert (reply.status, reply.error["code"]) == (400, "invalid_idempotency_key")
    assert replica.requests == 0


async def test_longest_key_is_taken(running: Running) -> None:
    key = f"idempotency-key: {'~' * 255}"
    await running.post(CHAT, ASK, key)
    assert is_replayed(await running.post(CHAT, ASK, key))


@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
async def test_refused_call_runs_anew(replica: FakeReplica, running: Running, status: int) -> None:
    replica.scripts.append(Script(status=status))
    assert (await running.post(CHAT, ASK, KEY)).status >= 400
    again = await running.post(CHAT, ASK, KEY)
    assert (again.status, is_replayed(again), replica.requests) == (200, False, 2)


async def test_call_refused_before_a_replica_was_asked_keeps_no_key(running: Running) -> None:
    assert (await running.post(CHAT, {**ASK, "model": "none"}, KEY)).status == 404
    assert (await running.post(CHAT, ASK, KEY)).status == 200


@pytest.mark.parametrize(
    "script",
    [
        Script(tokens=5, fault=Fault.RESET, fault_at=Point.AFTER_EVENTS, fault_events=2),
        Script(tokens=5, ending=Ending.NO_FINISH_REASON),
    ],
)
async def test_stream_that_broke_runs_anew(replica: FakeReplica, running: Running, script: Script) -> None:
    replica.scripts.append(script)
    await running.post(CHAT, STREAM, KEY)
    again = await running.post(CHAT, STREAM, KEY)
    assert again.body.endswith(b"data: [DONE]\n\n")
    assert not is_replayed(again)


async def test_call_whose_client_left_runs_anew(replica: FakeReplica, running: Running) -> None:
    replica.scripts.append(Script(tokens=1000, token_gap_s=0.02))
    async with raw_client(running.port) as client:
        client.send(request_bytes(CHAT, {**STREAM, "max_tokens": 1000}, KEY))
        await client.head()
        await client.chunk()
    await running.logged()
    again = await running.post(CHAT, {**STREAM, "max_tokens": 1000}, KEY)
    assert (again.status, is_replayed(again)) == (200, False)


async def test_stream_whose_client_left_at_its_last_event_is_replayed(
    replica: FakeReplica, running: Running
) -> None:
    replica.scripts.append(Script(fault=Fault.HANG, fault_at=Point.AFTER_EVENTS, fault_events=6))
    async with raw_client(running.port) as client:
        client.send(request_bytes(CHAT, STREAM, KEY))
        await client.reader.readuntil(b"data: [DONE]\n\n")
    again = await running.post(CHAT, STREAM, KEY)
    assert (again.status, is_replayed(again), replica.requests) == (200, True, 1)
    assert again.body.endswith(b"data: [DONE]\n\n")


async def test_reply_too_long_to_be_kept_passes_whole_and_runs_anew(replica: FakeReplica) -> None:
    replica.script = Script(text="word " * 1000, tokens=1000)
    settings = settings_for(replica, idempotency={"max_entry_bytes": 1024})
    async with run_gateway(settings) as running:
        for ask in (ASK, {**STREAM, "max_tokens": 1000}):
            key = f"{KEY}{bool(ask.get('stream'))}"
            first = await running.post(CHAT, ask, key)
            again = await running.post(CHAT, ask, key)
            assert len(first.body) == len(again.body) > 1024
            assert not is_replayed(again)


async def test_reply_is_forgotten_after_its_time(replica: FakeReplica) -> None:
    async with run_gateway(settings_for(replica, idempotency={"ttl_s": 0.05})) as running:
        await running.post(CHAT, ASK, KEY)
        await asyncio.sleep(0.06)
        assert not is_replayed(await running.post(CHAT, ASK, KEY))


async def test_keys_are_ignored_if_the_operator_says_so(replica: FakeReplica) -> None:
    async with run_gateway(settings_for(replica, idempotency={"enabled": False})) as running:
        for _ in range(2):
            assert not is_replayed(await running.post(CHAT, ASK, KEY))
    assert replica.requests == 2


async def test_no_store_guards_against_twins_but_keeps_nothing(
    replica: FakeReplica, running: Running
) -> None:
    replica.scripts.append(Script(headers_delay_s=1))
    first = asyncio.create_task(running.post(CHAT, ASK, KEY, "cache-control: no-store"))
    await replica.record.until(lambda: replica.requests == 1)
    assert (await running.post(CHAT, ASK, KEY)).status == 409
    await first
    assert not is_replayed(await running.post(CHAT, ASK, KEY))
