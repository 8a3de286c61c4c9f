"""Which replica gets a call, and which one gets it next if it fails before its first byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.errors import (
    BadReplicaReplyError,
    DeadlineExceededError,
    GatewayError,
    ModelFailedError,
    ModelNotReadyError,
    ReplicaRefusalError,
    ReplicaTimeoutError,
    ReplicaUnavailableError,
)
from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.faults import (
    ReplicaBusyError,
    ReplicaClosedError,
    ReplicaConnectError,
    ReplicaDeadlineError,
    ReplicaError,
    ReplicaProtocolError,
)
from lmaas_gateway.replicas.pool import LaunchStatus, Pool, Replica
from lmaas_gateway.routing.failures import ReplicaReplyError, ReplicaStatusError
from lmaas_gateway.routing.verdicts import explain
from lmaas_gateway.settings import Settings, TimeoutSettings
from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Point, Script
from support.calls import make_call
from support.serving import ASK, CHAT, STREAM, Running, run_gateway, settings_for
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENGINE_DEAD = 'data: {"error":{"message":"EngineCore","code":500}}\n\n'
QUICK = {"first_byte_s": 0.1}


def replica(name: str = "r", *, is_ready: bool = True) -> Replica:
    made = Replica(name, ReplicaClient(Address("127.0.0.1", 1), timeouts=TimeoutSettings()))
    if is_ready:
        made.mark_ready("mock", 2048)
    return made


def test_only_ready_replicas_that_were_not_tried_are_candidates() -> None:
    ready, tried, down, draining = replica("ready"), replica("tried"), replica("down"), replica("draining")
    down.mark_failed("gone")
    draining.is_draining = True
    assert Pool("mock", "chat", (down, draining, tried, ready), 0).candidates({tried}) == [ready]


def test_suspect_is_a_candidate_only_where_no_other_is() -> None:
    suspect, other, well = replica("suspect"), replica("other"), replica("well")
    for late in (suspect, other):
        late.note_silence()
    pool = Pool("mock", "chat", (suspect, well, other), 0)
    assert pool.candidates(()) == [well]
    assert pool.candidates({well}) == [suspect, other], "a retry, which has no better place to go"
    well.is_draining = True
    assert pool.candidates(()) == [suspect, other]
    suspect.note_heard()
    assert pool.candidates(()) == [suspect]


def test_suspect_is_no_worse_than_a_replica_that_is_ejected() -> None:
    suspect, ejected, down = replica("suspect"), replica("ejected"), replica("down", is_ready=False)
    suspect.note_silence()
    pool = Pool("mock", "chat", (suspect, ejected, down), 0)
    ejected.breaker.eject()
    assert pool.candidates(()) == [suspect]
    further = replica("further", is_ready=False), replica("last", is_ready=False)
    panic = Pool("mock", "chat", (*pool.replicas, *further), 0)
    assert panic.candidates(()) == [suspect, ejected], "one in service of five is too few"


def test_replica_that_drains_is_no_part_of_its_pools_state() -> None:
    first, second = replica("first"), replica("second", is_ready=False)
    pool = Pool("mock", "chat", (first, second), 0)
    states = [pool.state]
    for leaving in (second, first):
        leaving.is_draining = True
        states.append(pool.state)
    assert states == ["degraded", "ready", "unavailable"]


class Launch:
    url = "unix:/run/m.sock"
    state = "failed"
    restarts = 5
    last_error = "exit code 1"


@pytest.mark.parametrize(
    ("failure", "was_ready", "expected"),
    [
        (None, False, ModelNotReadyError),
        (None, True, ReplicaUnavailableError),
        (ReplicaConnectError("x"), True, ReplicaUnavailableError),
        (ReplicaBusyError("x"), True, ReplicaRefusalError),
        (ReplicaReplyError("x"), True, BadReplicaReplyError),
        (ReplicaStatusError(500, None), True, ReplicaRefusalError),
        (ReplicaStatusError(503, None), True, ReplicaRefusalError),
        (ReplicaClosedError("x"), True, ReplicaUnavailableError),
        (ReplicaDeadlineError("connect"), True, ReplicaUnavailableError),
        (ReplicaDeadlineError("first_byte"), True, ReplicaTimeoutError),
        (ReplicaDeadlineError("total"), True, DeadlineExceededError),
        (ReplicaProtocolError("x"), True, BadReplicaReplyError),
    ],
)
def test_last_failure_decides_what_the_caller_is_told(
    failure: ReplicaError | None, was_ready: bool, expected: type[GatewayError]
) -> None:
    only = replica(is_ready=was_ready)
    only.mark_failed("gone")
    error = explain(make_call(), Pool("mock", "chat", (only,), 0), failure)
    assert type(error) is expected
    assert "'mock'" in error.message
    assert (error.retry_after_s is not None) == (error.status == 503)


def test_model_that_was_given_up_is_not_said_to_be_starting() -> None:
    launches: tuple[LaunchStatus, ...] = (Launch(),)
    pool = Pool("mock", "chat", (replica(is_ready=False),), 0, launches=lambda: launches)
    assert type(explain(make_call(), pool, None)) is ModelFailedError


@contextlib.asynccontextmanager
async def two_replicas() -> AsyncIterator[tuple[FakeReplica, FakeReplica]]:
    async with FakeReplica() as first, FakeReplica() as second:
        yield first, second


async def let_hang(fake: FakeReplica, running: Running) -> None:
    """Have the first replica answer no probe any more, and be known to for 1.5 s."""
    await running.until(lambda: fake.record.probes["/metrics"] == 2)
    await running.until(lambda: not running.pool.replicas[0].client._busy)
    fake.probe_script = Script(fault=Fault.HANG)
    running.pool.replicas[0].note_silence()


class TestSuspects:
    async def test_hanging_replica_gets_no_call_while_another_one_answers(self) -> None:
        settings = {"probe_interval_s": 1000}
        async with (
            two_replicas() as (hung, well),
            run_gateway(settings_for(hung, well, **settings)) as running,
        ):
            await let_hang(hung, running)
            assert [(await running.post(CHAT, ASK)).status for _ in range(6)] == [200] * 6
            assert (hung.requests, well.requests) == (0, 6)
            well.script = Script(status=503)
            reply = await running.post(CHAT, ASK)
        assert (reply.status, hung.requests) == (200, 1), "it is better than none"

    async def test_call_that_failed_goes_to_a_suspect_last(self) -> None:
        async with (
            FakeReplica() as hung,
            FakeReplica(script=Script(status=503)) as bad,
            FakeReplica() as well,
        ):
            settings = settings_for(hung, bad, well, probe_interval_s=1000)
            async with run_gateway(settings) as running:
                await let_hang(hung, running)
                assert [(await running.post(CHAT, ASK)).status for _ in range(6)] == [200] * 6
            assert (hung.requests, well.requests) == (0, 6)


class TestFailover:
    @pytest.mark.parametrize("fields", [ASK, STREAM])
    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            (Script(fault=Fault.CLOSE), "closed"),
            (Script(fault=Fault.RESET), "closed"),
            (Script(fault=Fault.HANG), "deadline"),
            (Script(raw="not http\r\n\r\n"), "protocol"),
            (Script(status=500), "status"),
            (Script(status=503), "status"),
        ],
    )
    async def test_failure_before_the_first_byte_is_not_seen_by_the_client(
        self, script: Script, reason: str, fields: dict[str, Any]
    ) -> None:
        async with two_replicas() as (first, second):
            first.script = script
            async with run_gateway(settings_for(first, second, timeouts=QUICK)) as running:
                reply = await running.post(CHAT, fields)
                line = await running.logged()
                metrics = (await running.get("/metrics")).body.decode()
                assert running.in_flight == 0
            assert reply.status == 200
            assert b"one two three" in reply.body or b"[DONE]" in reply.body
            assert line["replica"] == "mock-1"
            # A kept connection that closes without a word may just have been stale: it is replaced once.
            assert first.requests in ({1, 2} if reason == "closed" else {1})
            assert second.requests == 1
            assert {seen.request.name.number for seen in first.calls} == {1}
            assert second.calls[0].request.name == (line["request_id"], 2, False), (
                "it is told that it is the second"
            )
        assert (
            f'lmaas_replica_failures_total{{model="mock",reason="{reason}",replica="mock-0"}} 1.0' in metrics
        )

    @pytest.mark.parametrize(
        "script",
        [
            Script(events=(ENGINE_DEAD, "data: [DONE]\n\n")),
            Script(events=()),
            Script(fault=Fault.CLOSE, fault_at=Point.AFTER_HEADERS),
        ],
    )
    async def test_stream_that_fails_before_its_first_event_goes_to_another_replica(
        self, script: Script
    ) -> None:
        async with two_replicas() as (first, second):
            first.script = script
            async with run_gateway(settings_for(first, second)) as running:
                reply = await running.post(CHAT, STREAM)
                assert running.in_flight == 0
            assert reply.body.endswith(b"data: [DONE]\n\n")
            assert b"error" not in reply.body
            assert (first.requests, second.requests) == (1, 1)

    async def test_refused_connection_takes_the_replica_out_until_a_probe_passes(self) -> None:
        async with two_replicas() as (first, second):
            settings = settings_for(first, second, probe_interval_s=1000)
            async with run_gateway(settings) as running:
                await first.stop()
                for _ in range(3):
                    assert (await running.post(CHAT, ASK)).status == 200
                assert running.pool.state == "degraded"
                assert running.pool.replicas[0].problem
            assert second.requests == 3

    @pytest.mark.parametrize(
        "script",
        [
            Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=2),
            Script(fault=Fault.RESET, fault_at=Point.INSIDE_EVENT, fault_events=2),
        ],
    )
    async def test_never_after_the_first_byte(self, script: Script) -> None:
        async with two_replicas() as (first, second):
            first.script = script
            async with run_gateway(settings_for(first, second)) as running:
                reply = await running.post(CHAT, STREAM)
                assert running.in_flight == 0
            assert b"stream_interrupted" in reply.body
            assert second.requests == 0

    async def test_each_replica_is_tried_once_at_most(self) -> None:
        async with two_replicas() as (first, second):
            first.script = second.script = Script(raw="not http")
            async with run_gateway(settings_for(first, second)) as running:
                reply = await running.post(CHAT, ASK)
                assert running.in_flight == 0
            assert (reply.status, reply.error["code"]) == (502, "bad_replica_reply")
            assert first.requests == second.requests == 1

    async def test_refusal_about_the_request_is_not_tried_elsewhere(self) -> None:
        async with two_replicas() as (first, second):
            first.script = Script(status=422)
            async with run_gateway(settings_for(first, second)) as running:
                assert (await running.post(CHAT, ASK)).status == 422
            assert second.requests == 0

    async def test_client_that_leaves_during_a_failover_frees_both(self) -> None:
        async with two_replicas() as (first, second):
            first.script, second.script = Script(status=500), Script(fault=Fault.HANG)
            async with run_gateway(settings_for(first, second)) as running:
                async with raw_client(running.port) as client:
                    client.send(request_bytes(CHAT, ASK))
                    await second.record.until(lambda: second.running == 1)
                await second.record.until(lambda: second.aborted == 1)
                assert (await running.logged())["status"] == 499
                assert running.in_flight == 0

    async def test_load_is_spread_by_calls_in_flight(self) -> None:
        async with two_replicas() as (first, second):
            first.script = second.script = Script(headers_delay_s=0.1)
            async with run_gateway(settings_for(first, second)) as running:
                await asyncio.gather(*(running.post(CHAT, ASK) for _ in range(10)))
            assert (first.requests, second.requests) == (5, 5)


class TestStates:
    async def test_before_the_first_replica_is_ready_the_caller_is_told_to_wait(self) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            async with run_gateway(settings_for(url), is_ready=False) as running:
                reply = await running.post(CHAT, ASK)
        assert (reply.status, reply.error["code"]) == (503, "model_not_ready")
        assert reply.headers["retry-after"] == "5"

    async def test_replica_that_died_is_unavailable_and_comes_back(self) -> None:
        async with FakeReplica() as only, run_gateway(settings_for(only)) as running:
            await only.stop()
            await running.until(lambda: running.pool.state == "unavailable")
            reply = await running.post(CHAT, ASK)
            assert (reply.status, reply.error["code"]) == (503, "replica_unavailable")
            await only.start()
            await running.until(lambda: running.pool.state == "ready")
            assert (await running.post(CHAT, ASK)).status == 200

    async def test_full_replica_is_a_503(self) -> None:
        async with (
            FakeReplica() as only,
            run_gateway(settings_for(only, max_connections_per_replica=1, probe_interval_s=1000)) as running,
        ):
            # Its first two probes, one right after the other, take the only connection too.
            client = running.pool.replicas[0].client
            await running.until(lambda: only.record.probes["/metrics"] == 2 and not client._busy)
            only.script = Script(headers_delay_s=0.3)
            first = asyncio.create_task(running.post(CHAT, ASK))
            await only.record.until(lambda: only.running == 1)
            assert (await running.post(CHAT, ASK)).status == 503
            assert (await first).status == 200

    @pytest.mark.parametrize(
        ("script", "status", "code"),
        [
            (Script(fault=Fault.HANG), 504, "replica_timeout"),
            (Script(raw="\x16\x03\x01"), 502, "bad_replica_reply"),
            (Script(fault=Fault.RESET), 503, "replica_unavailable"),
        ],
    )
    async def test_only_replica_that_fails(self, script: Script, status: int, code: str) -> None:
        async with FakeReplica() as only:
            only.script = script
            async with run_gateway(settings_for(only, timeouts=QUICK)) as running:
                reply = await running.post(CHAT, ASK)
                line = await running.logged()
                assert running.in_flight == 0
        assert (reply.status, reply.error["code"]) == (status, code)
        assert (line["status"], line["code"], line["outcome"]) == (status, code, "error")


class TestNames:
    @pytest.mark.parametrize("fields", [ASK, STREAM])
    async def test_replica_with_another_name_for_the_model_is_asked_by_its_own(
        self, fields: dict[str, Any]
    ) -> None:
        async with FakeReplica(FakeModel(name="org/model-7b")) as only:
            async with run_gateway(settings_for(only)) as running:
                assert (await running.post(CHAT, fields)).status == 200
            assert json.loads(only.calls[0].request.body)["model"] == "org/model-7b"


def pool_of(*replicas: dict[str, Any], **model: Any) -> Settings:
    entry = {"name": "mock", "kind": "chat", "replicas": list(replicas), **model}
    return Settings.model_validate({"probe_interval_s": 0.05, "models": [entry]})


class TestPolicies:
    async def test_chat_goes_on_at_one_replica_beside_many_others(self) -> None:
        async with two_replicas() as (first, second), FakeReplica() as third:
            replicas = (first, second, third)
            for replica in replicas:
                replica.script = Script(headers_delay_s=0.01)
            async with run_gateway(pool_of(*({"url": replica.url} for replica in replicas))) as running:

                async def chat(number: int) -> None:
                    messages = [{"role": "user", "content": f"chat {number} " * 20}]
                    for _ in range(5):
                        reply = await running.post(CHAT, {**ASK, "messages": messages})
                        answer = reply.json["choices"][0]["message"]
                        messages = [*messages, answer, {"role": "user", "content": "and then?"}]

                await asyncio.gather(*map(chat, range(12)))
            homes: dict[str, set[int]] = {}
            for index, replica in enumerate(replicas):
                for seen in replica.calls:
                    first_words = json.loads(seen.request.body)["messages"][0]["content"]
                    homes.setdefault(first_words, set()).add(index)
            assert [len(home) for home in homes.values()] == [1] * 12
            assert all(replica.requests >= 10 for replica in replicas)

    async def test_sessions_stay_by_header(self) -> None:
        async with two_replicas() as (first, second):
            settings = pool_of({"url": first.url}, {"url": second.url}, routing="consistent_hash")
            async with run_gateway(settings) as running:
                for number in range(20):
                    for _ in range(2):
                        await running.post(CHAT, ASK, f"x-session-id: {number}")
            assert first.requests % 2 == second.requests % 2 == 0
            assert min(first.requests, second.requests) > 0

    async def test_draining_replica_finishes_its_calls_and_gets_no_new_ones(self) -> None:
        async with two_replicas() as (first, second):
            first.script = Script(headers_delay_s=0.3)
            async with run_gateway(settings_for(first, second)) as running:
                begun = asyncio.create_task(running.post(CHAT, ASK))
                await first.record.until(lambda: first.running == 1)
                running.pool.replicas[0].is_draining = True
                for _ in range(4):
                    assert (await running.post(CHAT, ASK)).status == 200
                assert (await begun).status == 200
                details = (await running.get("/readyz")).json["models"]["mock"]
            assert (first.requests, second.requests) == (1, 4)
            assert [replica["state"] for replica in details["replicas"]] == ["draining", "ready"]

    async def test_replica_that_drains_from_the_start_serves_nothing(self) -> None:
        async with two_replicas() as (first, second):
            settings = pool_of({"url": first.url, "draining": True}, {"url": second.url})
            async with run_gateway(settings) as running:
                for _ in range(3):
                    assert (await running.post(CHAT, ASK)).status == 200
            assert (first.requests, second.requests) == (0, 3)

    async def test_load_is_spread_by_weight(self) -> None:
        async with two_replicas() as (first, second):
            first.script = second.script = Script(headers_delay_s=0.2)
            settings = pool_of({"url": first.url, "weight": 3}, {"url": second.url}, routing="least_tokens")
            async with run_gateway(settings) as running:
                await asyncio.gather(*(running.post(CHAT, ASK) for _ in range(16)))
            assert (first.requests, second.requests) == (12, 4)

    async def test_replica_that_others_keep_busy_gets_less(self) -> None:
        async with two_replicas() as (first, second):
            first.waiting = 5
            async with run_gateway(settings_for(first, second)) as running:
                await running.until(lambda: running.pool.replicas[0].foreign_calls == 5)
                for _ in range(3):
                    await running.post(CHAT, ASK)
                metrics = (await running.get("/metrics")).body.decode()
            assert (first.requests, second.requests) == (0, 3)
            assert 'lmaas_replica_requests_waiting{model="mock",replica="mock-0"} 5.0' in metrics
