"""Replicas that fail calls are left out, and those whose calls are at fault are not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.failover_calls import DONE, EVENT, SLOW_PROBES, ask_as, by_load, keys_of
from lmaas_gateway.routing import offenders
from lmaas_gateway.testing import FakeReplica, Fault, Point, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes


class TestBusy:
    async def test_replicas_whose_connections_are_all_in_use_are_busy_and_not_ill(self) -> None:
        script = Script(headers_delay_s=30)
        async with FakeReplica(script=script) as first, FakeReplica(script=script) as second:
            settings = by_load(first, second, **SLOW_PROBES, max_connections_per_replica=1)
            async with run_gateway(settings) as running:
                # Its first probe ends with a look at its metrics, on the one connection that it has.
                both = (first, second)
                await running.until(lambda: all(each.record.probes["/metrics"] for each in both))
                await running.until(lambda: not any(each.client._busy for each in running.pool.replicas))
                held = [asyncio.create_task(running.post(CHAT, ASK)) for _ in range(2)]
                await running.until(lambda: first.running == second.running == 1)
                reply = await running.post(CHAT, ASK)
                assert (reply.status, reply.error["code"]) == (503, "replica_busy")
                assert "connections" in reply.error["message"]
                assert reply.headers["retry-after"] == "1"
                assert running.pool.state == "ready"
                for call in held:
                    call.cancel()
                await asyncio.gather(*held, return_exceptions=True)


class TestEjection:
    async def test_replica_whose_calls_fail_is_left_out_and_told_of(self) -> None:
        async with FakeReplica() as bad, FakeReplica() as good:
            async with run_gateway(settings_for(bad, good)) as running:
                bad.script = Script(status=500)
                for _ in range(30):
                    assert (await running.post(CHAT, ASK)).status == 200
                assert bad.requests == 5
                ready = (await running.get("/readyz")).json
                assert ready["models"]["mock"]["state"] == "degraded"
                states = [replica["state"] for replica in ready["models"]["mock"]["replicas"]]
                assert states == ["ejected", "ready"]
                metrics = (await running.get("/metrics")).body.decode()
            labels = 'model="mock",replica="mock-0"'
            assert f"lmaas_replica_ejections_total{{{labels}}} 1.0" in metrics
            assert f'lmaas_replica_state{{{labels},state="ejected"}} 1.0' in metrics
            assert f'lmaas_replica_state{{{labels},state="ready"}} 0.0' in metrics

    async def test_hanging_replica_is_left_out(self) -> None:
        async with FakeReplica() as bad, FakeReplica() as good:
            settings = settings_for(bad, good, timeouts={"first_byte_s": 0.05})
            async with run_gateway(settings) as running:
                bad.script = Script(fault=Fault.HANG)
                replies = await asyncio.gather(*(running.post(CHAT, ASK) for _ in range(20)))
                assert {reply.status for reply in replies} == {200}
                assert running.pool.replicas[0].state == "ejected"

    async def test_streams_that_break_count_too(self) -> None:
        async with FakeReplica() as bad, FakeReplica() as good:
            async with run_gateway(settings_for(bad, good)) as running:
                bad.script = Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=2)
                replies = [await running.post(CHAT, STREAM) for _ in range(20)]
                broken = [b"stream_interrupted" in reply.body for reply in replies]
                assert sum(broken) == bad.requests == 5
                metrics = (await running.get("/metrics")).body.decode()
            assert 'reason="interrupted",replica="mock-0"} 5.0' in metrics

    @pytest.mark.parametrize("script", [Script(status=status) for status in (400, 404, 422, 501)])
    async def test_refusals_of_the_request_never_count(self, script: Script) -> None:
        async with (
            FakeReplica(script=script) as first,
            FakeReplica(script=script) as second,
            run_gateway(settings_for(first, second)) as running,
        ):
            for _ in range(20):
                assert (await running.post(CHAT, ASK)).status == script.status
            assert running.pool.state == "ready"
            assert first.requests + second.requests == 20

    async def test_what_an_engine_cannot_do_is_the_requests_fault_and_final(self) -> None:
        async with (
            FakeReplica(script=Script(status=501)) as replica,
            run_gateway(settings_for(replica)) as running,
        ):
            reply = await running.post(CHAT, ASK)
        assert (reply.status, reply.error["type"]) == (501, "invalid_request_error")
        assert reply.headers["x-should-retry"] == "false"

    async def test_clients_that_leave_never_count(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = second.script = Script(headers_delay_s=30)
            async with run_gateway(settings_for(first, second)) as running:
                for count in range(1, 13):
                    async with raw_client(running.port) as client:
                        client.send(request_bytes(CHAT, ASK))
                        await running.until(lambda: running.in_flight == 1)
                    await running.logged(count)
                assert running.pool.state == "ready"
                assert running.log[-1]["status"] == 499


POISONS: list[dict[str, Any]] = [
    {**ASK, "fake": {"status": 500}},
    {**STREAM, "fake": {"events": ['data: {"error":{"message":"m","code":500}}\n\n', DONE]}},
    {**STREAM, "fake": {"events": [DONE]}},
    {**STREAM, "fake": {"events": [EVENT, 'data: {"error":{"message":"m","code":500}}\n\n', DONE]}},
]

# A replica that takes long to connect to on a busy machine would be ejected for that, and rightly so.
PATIENT: dict[str, Any] = {**SLOW_PROBES, "timeouts": {"connect_s": 30}}


class TestBlame:
    """One caller's calls must not take replicas, nor retries, from all others."""

    @pytest.mark.parametrize("poison", POISONS, ids=["500", "error event", "empty stream", "later"])
    async def test_calls_that_no_replica_can_answer_eject_none_and_cost_the_pool_nothing(
        self, poison: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # What is known of a caller after its first calls must not be forgotten before the last, however slow.
        monkeypatch.setattr(offenders, "_FIRST_S", 30.0)
        async with FakeReplica() as first, FakeReplica() as second:
            settings = by_load(first, second, **PATIENT, keys=keys_of(2))
            async with run_gateway(settings) as running:
                for _ in range(10):
                    replies = await asyncio.gather(*(ask_as(running, 0, poison) for _ in range(16)))
                    assert {reply.status for reply in replies} <= {200, 502}
                    assert (await ask_as(running, 1, ASK)).status == 200
                assert running.pool.state == "ready"
                assert running.pool.retries.tokens == 500
                assert [replica.breaker.ejections for replica in running.pool.replicas] == [0, 0]
            # The first sixteen come before it is known whose fault it is.
            assert first.requests + second.requests <= 160 + 10 + 16 + 4

    async def test_they_leave_the_pool_as_it_was_where_nobody_else_calls(self) -> None:
        async with (
            FakeReplica() as first,
            FakeReplica() as second,
            run_gateway(by_load(first, second, **PATIENT)) as running,
        ):
            for _ in range(60):
                assert (await running.post(CHAT, POISONS[0])).status == 502
            await running.until(lambda: not any(r.breaker.is_suspect for r in running.pool.replicas))
            assert running.pool.state == "ready"

    async def test_they_eject_none_that_has_just_failed_by_itself(self) -> None:
        async with (
            FakeReplica() as first,
            FakeReplica() as second,
            run_gateway(by_load(first, second, **PATIENT)) as running,
        ):
            for replica in running.pool.replicas:
                running.pool.note_failure(replica)
            for _ in range(20):
                assert (await running.post(CHAT, POISONS[0])).status == 502
            assert [replica.breaker.ejections for replica in running.pool.replicas] == [0, 0]
            assert (await running.post(CHAT, ASK)).status == 200

    async def test_caller_is_told_that_the_call_may_be_at_fault(self) -> None:
        async with (
            FakeReplica() as first,
            FakeReplica() as second,
            run_gateway(by_load(first, second)) as running,
        ):
            reply = await running.post(CHAT, POISONS[0])
        assert (reply.status, reply.error["code"]) == (502, "replica_error")
        assert reply.headers["x-should-retry"] == "false"
        assert "Two replicas" in reply.error["message"]

    async def test_others_keep_their_retries(self) -> None:
        async with (
            FakeReplica() as first,
            FakeReplica() as second,
            run_gateway(by_load(first, second, **PATIENT, keys=keys_of(2))) as running,
        ):
            await ask_as(running, 0, POISONS[0])
            first.script = Script(status=500)
            assert (await ask_as(running, 0, ASK)).status == 502
            assert (await ask_as(running, 1, ASK)).status == 200

    async def test_bad_calls_do_not_hide_a_replica_that_is_ill(self) -> None:
        async with (
            FakeReplica() as ill,
            FakeReplica() as good,
            run_gateway(by_load(ill, good, **PATIENT)) as running,
        ):
            ill.script = Script(status=500)
            await running.post(CHAT, POISONS[0])
            statuses = [(await running.post(CHAT, ASK)).status for _ in range(30)]
            await running.until(lambda: running.pool.replicas[0].state == "ejected")
            assert statuses[-10:] == [200] * 10

    async def test_ill_replica_is_found_before_the_other_one_has_answered(self) -> None:
        async with (
            FakeReplica() as ill,
            FakeReplica() as slow,
            run_gateway(by_load(ill, slow, **PATIENT)) as running,
        ):
            ill.script = Script(status=500)
            slow.script = Script(headers_delay_s=2.0)
            # So many that its half of them is enough to doubt it.
            calls = [asyncio.create_task(running.post(CHAT, ASK)) for _ in range(12)]
            await running.until(lambda: running.pool.replicas[0].breaker.consecutive_failures > 0)
            assert not any(call.done() for call in calls)
            calls += [asyncio.create_task(running.post(CHAT, ASK)) for _ in range(8)]
            assert {reply.status for reply in await asyncio.gather(*calls)} == {200}
            assert running.pool.replicas[0].state == "ejected"
