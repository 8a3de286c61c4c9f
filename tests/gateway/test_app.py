"""A gateway takes a new configuration while it serves: whole or not at all, and without a lost call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.testing import FakeReplica, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from lmaas_gateway.settings import Settings
    from support.serving import Running

NOWHERE = "http://127.0.0.1:9"


async def change(running: Running, settings: Settings) -> None:
    running.gateway.adopt(await running.gateway.prepare(settings))


async def test_every_derived_thing_follows_the_new_configuration() -> None:
    key = "a-key-of-sixteen-characters"
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        assert (await running.post(CHAT, ASK)).status == 200
        origin = "http://front.example"
        await change(
            running,
            settings_for(replica, api_key=key, max_body_bytes=1024, cors_origins=[origin]),
        )
        assert (await running.post(CHAT, ASK)).status == 401
        bearer = f"authorization: Bearer {key}"
        reply = await running.post(CHAT, ASK, bearer, f"origin: {origin}")
        assert reply.status == 200
        assert reply.headers["access-control-allow-origin"] == origin
        assert (await running.post(CHAT, {**ASK, "user": "x" * 2000}, bearer)).status == 413
        await change(running, settings_for(replica, api_key=key + "-new"))
        assert (await running.post(CHAT, ASK, bearer)).status == 401
        assert (await running.post(CHAT, ASK, bearer + "-new")).status == 200


async def test_replica_that_stays_keeps_connections_readiness_and_load() -> None:
    async with FakeReplica() as first, FakeReplica() as second, run_gateway(settings_for(first)) as running:
        kept, created = running.pool.replicas[0], running.pool.created
        kept.enter(7)
        await change(running, settings_for(second, first, timeouts={"idle_s": 9}))
        assert running.pool.replicas[1] is kept
        assert [replica.name for replica in running.pool.replicas] == ["mock-1", "mock-0"]
        assert kept.load() == (7, 1)
        assert kept.client.timeouts.idle_s == 9
        assert running.pool.created == created
        assert running.pool.state == "ready", "the new one was asked before it took calls"
        kept.leave(7)


async def test_call_in_flight_ends_with_the_replica_that_was_removed() -> None:
    slow = Script(tokens=20, token_gap_s=0.02)
    async with (
        FakeReplica(script=slow) as old,
        FakeReplica() as new,
        run_gateway(settings_for(old)) as running,
        raw_client(running.port) as client,
    ):
        client.send(request_bytes(CHAT, {**STREAM, "max_tokens": 20}))
        await client.head()
        (leaving,) = running.pool.replicas
        await change(running, settings_for(new))
        assert list(running.gateway.directory.leaving) == [leaving]
        for _ in range(5):
            assert (await running.post(CHAT, ASK)).status == 200
        assert len(new.record.calls) == 5
        body = b""
        while piece := await client.chunk():
            body += piece
        assert body.endswith(b"data: [DONE]\n\n")
        await running.until(lambda: not running.gateway.directory.leaving)


async def test_removed_replica_that_comes_back_while_it_drains_is_the_same() -> None:
    async with FakeReplica() as first, FakeReplica() as second, run_gateway(settings_for(first)) as running:
        (replica,) = running.pool.replicas
        replica.enter(1)
        await change(running, settings_for(second))
        await change(running, settings_for(second, first))
        assert running.pool.replicas[1] is replica
        assert not running.gateway.directory.leaving
        replica.leave(1)


async def test_call_that_waits_with_an_old_pool_finds_the_new_replicas() -> None:
    async with FakeReplica() as first, FakeReplica() as second, run_gateway(settings_for(first)) as running:
        held = running.pool
        await change(running, settings_for(second))
        await change(running, settings_for(second, first))
        assert held.candidates(()) == running.pool.candidates(()) == list(running.pool.replicas)


async def test_configuration_that_would_leave_a_model_without_replica_is_refused() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        before = running.gateway.directory
        with pytest.raises(SettingsError, match="model 'mock' would have no replica that takes calls"):
            await running.gateway.prepare(settings_for(NOWHERE))
        assert running.gateway.directory is before
        assert (await running.post(CHAT, ASK)).status == 200


async def test_model_that_was_not_served_anyway_may_change_to_another_that_is_not() -> None:
    async with run_gateway(settings_for(NOWHERE), is_ready=False) as running:
        await change(running, settings_for("http://127.0.0.1:10"))
        assert (await running.post(CHAT, ASK)).status == 503


async def test_model_that_is_removed_is_no_longer_found() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        other = settings_for(replica).model_dump()
        other["models"][0]["name"] = "other"
        await change(running, type(settings_for(replica)).model_validate(other))
        assert (await running.post(CHAT, ASK)).error["code"] == "model_not_found"
        assert (await running.post(CHAT, {**ASK, "model": "other"})).status == 200


async def test_no_call_fails_while_the_configuration_changes_all_the_time() -> None:
    async with FakeReplica() as first, FakeReplica() as second, run_gateway(settings_for(first)) as running:
        is_over = False
        statuses: list[int] = []

        async def ask_on() -> None:
            while not is_over:
                statuses.append((await running.post(CHAT, ASK)).status)

        asking = [asyncio.create_task(ask_on()) for _ in range(8)]
        for turn in range(60):
            replicas = ((first,), (second, first), (second,))[turn % 3]
            await change(running, settings_for(*replicas))
            await asyncio.sleep(0.005)
        is_over = True
        await asyncio.gather(*asking)
        assert set(statuses) == {200}
        assert first.record.calls
        assert second.record.calls
        await running.until(lambda: running.in_flight == 0)
