"""What clients see, and what replicas are asked, when replicas fail: over real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from gateway.failover_calls import DONE, EVENT, SLOW_PROBES, ask_as, by_load, keys_of
from lmaas import AsyncLMaaS, BadGatewayError
from lmaas_gateway.settings import Settings
from lmaas_gateway.testing import FakeReplica, Fault, Framing, Point, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes

END = 'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


class TestRetries:
    @pytest.mark.parametrize("fields", [ASK, STREAM])
    async def test_no_client_sees_one_of_three_replicas_die_under_200_calls(
        self, fields: dict[str, Any]
    ) -> None:
        async with FakeReplica() as doomed, FakeReplica() as second, FakeReplica() as third:
            doomed.script = Script(headers_delay_s=30)
            second.script = third.script = Script(headers_delay_s=1)
            async with run_gateway(by_load(doomed, second, third, **SLOW_PROBES)) as running:
                calls = [asyncio.create_task(running.post(CHAT, fields)) for _ in range(200)]
                replicas = (doomed, second, third)
                await running.until(lambda: sum(each.requests for each in replicas) == 200, within_s=10)
                assert doomed.running >= 20
                await doomed.stop()
                replies = await asyncio.gather(*calls)
                assert {reply.status for reply in replies} == {200}
                assert running.pool.replicas[0].state in {"ejected", "down"}
                assert running.pool.replicas[0].breaker.ejections == 1
                assert running.in_flight == 0
            assert second.requests + third.requests == 200

    @pytest.mark.parametrize(
        "script", [Script(status=500), Script(fault=Fault.CLOSE), Script(body="<html>", status=200)]
    )
    async def test_outage_gets_at_most_a_tenth_more_calls(self, script: Script) -> None:
        async with FakeReplica() as first, FakeReplica() as second, FakeReplica() as third:
            replicas = (first, second, third)
            async with run_gateway(settings_for(*replicas, **SLOW_PROBES)) as running:
                for replica in replicas:
                    replica.script = script
                for _ in range(25):
                    replies = await asyncio.gather(*(running.post(CHAT, ASK) for _ in range(16)))
                    assert all(reply.status >= 500 for reply in replies)
            attempts = sum(replica.requests for replica in replicas)
            assert 400 <= attempts <= 440

    @pytest.mark.parametrize(
        ("script", "principals"),
        [
            (Script(status=500), 1),
            (Script(status=500), 40),
            (Script(status=502), 40),
            (Script(fault=Fault.CLOSE), 1),
        ],
    )
    async def test_outage_of_a_pool_that_was_well_gets_no_more(self, script: Script, principals: int) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            settings = by_load(first, second, **SLOW_PROBES, keys=keys_of(principals))
            async with run_gateway(settings) as running:
                for index in range(40):
                    assert (await ask_as(running, index % principals, ASK)).status == 200
                first.script = second.script = script
                for round_ in range(25):
                    calls = [ask_as(running, (round_ * 16 + index) % principals, ASK) for index in range(16)]
                    assert all(reply.status >= 500 for reply in await asyncio.gather(*calls))
            assert 440 <= first.requests + second.requests <= 480

    async def test_budget_that_is_used_up_ends_retries_until_calls_go_well(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            settings = by_load(
                first,
                second,
                **SLOW_PROBES,
                retries={"burst": 2, "percent": 50},
                ejection={"consecutive_failures": 1000, "min_calls": 1000},
            )
            async with run_gateway(settings) as running:
                first.script = Script(status=500)
                statuses = [(await running.post(CHAT, ASK)).status for _ in range(4)]
                assert statuses == [200, 200, 200, 502]
                metrics = (await running.get("/metrics")).body.decode()
                assert 'lmaas_retries_total{model="mock",outcome="made"} 3.0' in metrics
                assert 'lmaas_retries_total{model="mock",outcome="denied"} 1.0' in metrics
                assert 'lmaas_retry_budget{model="mock"} 0.5' in metrics

    async def test_never_more_than_two_further_replicas(self) -> None:
        async with (
            FakeReplica() as first,
            FakeReplica() as second,
            FakeReplica() as third,
            FakeReplica() as fourth,
        ):
            replicas = (first, second, third, fourth)
            for replica in replicas:
                replica.script = Script(status=502)
            async with run_gateway(settings_for(*replicas)) as running:
                reply = await running.post(CHAT, ASK)
                line = await running.logged()
            assert (reply.status, reply.headers["x-should-retry"], line["attempts"]) == (502, "false", 3)
            assert sorted(replica.requests for replica in replicas) == [0, 1, 1, 1]

    async def test_our_own_client_does_not_multiply_them(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = second.script = Script(status=500)
            async with (
                run_gateway(settings_for(first, second)) as running,
                AsyncLMaaS(base_url=f"http://127.0.0.1:{running.port}/v1", max_retries=5) as client,
            ):
                with pytest.raises(BadGatewayError) as caught:
                    await client.chat.completions.create(model="mock", messages=ASK["messages"])
            assert (caught.value.should_retry, caught.value.tries) == (False, 1)
            assert (first.requests, second.requests) == (1, 1)

    async def test_failure_without_a_retry_leaves_the_client_its_choice(self) -> None:
        async with FakeReplica(script=Script(status=500)) as only, run_gateway(settings_for(only)) as running:
            reply = await running.post(CHAT, ASK)
        assert reply.status == 502
        assert "x-should-retry" not in reply.headers

    async def test_plain_reply_that_breaks_off_is_asked_for_elsewhere(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = Script(fault=Fault.RESET, fault_at=Point.INSIDE_EVENT, framing=Framing.LENGTH)
            async with run_gateway(settings_for(first, second)) as running:
                reply = await running.post(CHAT, ASK)
            assert reply.status == 200
            assert reply.json["usage"]["completion_tokens"] == 16
            assert (first.requests, second.requests) == (1, 1)


class TestOutage:
    async def test_once_known_it_is_told_at_once(self) -> None:
        async with (
            FakeReplica() as first,
            FakeReplica() as second,
            run_gateway(settings_for(first, second)) as running,
        ):
            await first.stop()
            await second.stop()
            await running.until(lambda: running.pool.state == "unavailable")
            begun = time.perf_counter()
            reply = await running.post(CHAT, ASK)
            assert time.perf_counter() - begun < 1, "it waits for nobody: that would be for seconds"
            assert (reply.status, reply.error["code"]) == (503, "replica_unavailable")
            assert 1 <= int(reply.headers["retry-after"]) <= 30
            assert (await running.get("/readyz")).status == 503
            assert (await running.get("/livez")).status == 200

    async def test_pool_recovers_when_its_replicas_do(self) -> None:
        async with (
            FakeReplica() as first,
            FakeReplica() as second,
            run_gateway(settings_for(first, second, ejection={"base_s": 0.2})) as running,
        ):
            first.script = second.script = Script(status=500)
            for _ in range(20):
                await running.post(CHAT, ASK)
            assert running.pool.state == "degraded"
            first.script = second.script = Script()
            assert (await running.post(CHAT, ASK)).status == 200
            await running.until(lambda: running.gateway.directory.find("mock").state == "ready")


class TestClientGone:
    @pytest.mark.parametrize("fields", [ASK, STREAM])
    async def test_in_the_queue_reaches_no_replica(self, fields: dict[str, Any]) -> None:
        async with FakeReplica(script=Script(headers_delay_s=30)) as only:
            model = {"name": "mock", "kind": "chat", "max_in_flight": 1, "replicas": [{"url": only.url}]}
            async with run_gateway(Settings.model_validate({"models": [model]})) as running:
                async with raw_client(running.port) as first, raw_client(running.port) as second:
                    first.send(request_bytes(CHAT, ASK))
                    await only.record.until(lambda: only.running == 1)
                    second.send(request_bytes(CHAT, fields))
                    await asyncio.sleep(0.1)
                    second.writer.transport.abort()
                    line = await running.logged()
                    assert (line["status"], line["outcome"]) == (499, "client_gone")
                assert (await running.logged(2))["status"] == 499
                assert running.in_flight == 0
            assert only.requests == 1


class TestPauses:
    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        "header", [("retry-after", "7"), ("retry-after-ms", "7000"), ("retry-after", "1e9")]
    )
    async def test_replica_that_asks_for_one_is_left_alone(
        self, status: int, header: tuple[str, str]
    ) -> None:
        async with (
            FakeReplica() as asking,
            FakeReplica() as other,
            run_gateway(settings_for(asking, other)) as running,
        ):
            asking.script = Script(status=status, headers=(header,))
            for _ in range(5):
                assert (await running.post(CHAT, ASK)).status == 200
            assert asking.requests == 1
            assert running.pool.replicas[0].state == "cooling"
            assert running.pool.replicas[0].breaker.remaining_s() <= 30

    @pytest.mark.parametrize("value", ["0", "soon", "-5", "nan"])
    async def test_replica_that_names_no_time_is_not(self, value: str) -> None:
        async with (
            FakeReplica() as asking,
            FakeReplica() as other,
            run_gateway(settings_for(asking, other)) as running,
        ):
            asking.script = Script(status=503, headers=(("retry-after", value),))
            for _ in range(5):
                assert (await running.post(CHAT, ASK)).status == 200
            assert running.pool.state == "ready"

    async def test_where_all_ask_for_one_the_client_is_told_how_long(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            async with run_gateway(settings_for(first, second)) as running:
                first.script = Script(status=503, headers=(("retry-after", "9"),))
                second.script = Script(status=429, headers=(("retry-after", "5"),))
                asked = await running.post(CHAT, ASK)
                assert (asked.status, asked.error["code"]) == (503, "replica_busy")
                assert asked.headers["retry-after"] == "5"
                later = await running.post(CHAT, ASK)
                assert (later.status, later.headers["retry-after"]) == (503, "5")
                assert "asked for a pause" in later.error["message"]
            assert (first.requests, second.requests) == (1, 1)

    @pytest.mark.parametrize(("asked", "told"), [("1e9", "30"), ("86400", "30"), ("0", "1"), ("0.2", "1")])
    async def test_client_is_told_of_a_pause_within_bounds(self, asked: str, told: str) -> None:
        script = Script(status=503, headers=(("retry-after", asked),))
        async with FakeReplica(script=script) as only, run_gateway(settings_for(only)) as running:
            reply = await running.post(CHAT, ASK)
        assert (reply.status, reply.headers["retry-after"]) == (503, told)

    async def test_vllm_that_is_busy_says_no_time_and_gets_a_second(self) -> None:
        async with FakeReplica(script=Script(status=503)) as only, run_gateway(settings_for(only)) as running:
            for _ in range(8):
                reply = await running.post(CHAT, ASK)
                assert (reply.status, reply.error["code"]) == (503, "replica_busy")
                assert reply.headers["retry-after"] == "1"
            assert not running.pool.replicas[0].breaker.is_suspect
            assert only.requests == 8


class TestOpenings:
    @pytest.mark.parametrize(
        "events",
        [
            ('data: {"error":{"message":"m","code":500}}\n\n', DONE),
            ('data: { "error": {"message":"m"}}\n\n',),
            ('data: {"object":"error","message":"m"}\n\n',),
            ('event: error\ndata: {"message":"m"}\n\n',),
            (": ping\n\n", 'data: {"error":{"message":"m"}}\n\n'),
            (DONE,),
            (": ping\n\n", DONE),
            (": ping\n\n",),
            ("\n\n\n",),
            (),
        ],
    )
    async def test_stream_that_begins_badly_is_asked_for_elsewhere(self, events: tuple[str, ...]) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = Script(events=events)
            async with run_gateway(settings_for(first, second)) as running:
                reply = await running.post(CHAT, STREAM)
            assert reply.status == 200
            assert reply.body.endswith(DONE.encode())
            assert b"error" not in reply.body
            assert (first.requests, second.requests) == (1, 1)

    @pytest.mark.parametrize("size", [1, 7, 64])
    @pytest.mark.parametrize("prefix", ["", ": ping\n\n", "\ufeff", "\n", "id: 1\n"])
    async def test_stream_in_pieces_and_with_comments_is_whole(self, prefix: str, size: int) -> None:
        script = Script(events=(prefix + EVENT, END, DONE), slice_bytes=size)
        async with FakeReplica(script=script) as only, run_gateway(settings_for(only)) as running:
            reply = await running.post(CHAT, STREAM)
        assert reply.status == 200
        assert reply.body.endswith(DONE.encode())
        assert b"hi" in reply.body

    @pytest.mark.parametrize("fields", [ASK, STREAM])
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            ("<html>Bad</html>", "text/html"),
            ("<html>Bad</html>", "application/json"),
            ("", "application/json"),
            ('{"id":', "application/json"),
            ('{"id": }', "application/json"),
            ("[" * 1000, "application/json"),
            ('{"text":"' + "x" * 10_000, "application/json"),
            ("x" * 300_000, "application/json"),
        ],
    )
    async def test_200_that_is_no_reply_is_a_502_and_counts(
        self, body: str, content_type: str, fields: dict[str, Any]
    ) -> None:
        headers = (("content-type", content_type),)
        async with (
            FakeReplica(script=Script(body=body, headers=headers)) as only,
            run_gateway(settings_for(only)) as running,
        ):
            reply = await running.post(CHAT, fields)
            assert running.pool.replicas[0].breaker.consecutive_failures == 1
        assert (reply.status, reply.error["code"]) == (502, "bad_replica_reply")

    async def test_first_event_without_end_is_not_waited_for_in_memory(self) -> None:
        script = Script(events=("data: " + "x" * 600_000,))
        async with FakeReplica(script=script) as only, run_gateway(settings_for(only)) as running:
            reply = await running.post(CHAT, STREAM)
        assert (reply.status, reply.error["code"]) == (502, "bad_replica_reply")

    async def test_bytes_that_are_not_json_pass(self) -> None:
        headers = (("content-type", "application/octet-stream"),)
        script = Script(body="\x00\x01", headers=headers)
        async with FakeReplica(script=script) as only, run_gateway(settings_for(only)) as running:
            reply = await running.post(CHAT, ASK)
        assert (reply.status, reply.body) == (200, b"\x00\x01")


class TestDeadlines:
    @pytest.mark.parametrize("fields", [ASK, STREAM])
    async def test_clients_own_deadline_bounds_the_call_and_blames_nobody(
        self, fields: dict[str, Any]
    ) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = second.script = Script(fault=Fault.HANG)
            async with run_gateway(settings_for(first, second)) as running:
                begun = time.perf_counter()
                reply = await running.post(CHAT, fields, "x-request-deadline-ms: 200")
                assert time.perf_counter() - begun < 5, "none but its own deadline is as short"
                assert running.pool.replicas[0].breaker.consecutive_failures == 0
            assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
            assert reply.headers["x-should-retry"] == "false"
            assert first.requests + second.requests == 1

    async def test_clients_with_no_time_to_connect_blame_nobody(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with FakeReplica() as only, run_gateway(settings_for(only, **SLOW_PROBES)) as running:
            (replica,) = running.pool.replicas
            connect = replica.client._open

            async def connect_slowly(loop: asyncio.AbstractEventLoop) -> Any:
                await asyncio.sleep(0.02)
                return await connect(loop)

            monkeypatch.setattr(replica.client, "_open", connect_slowly)
            # A probe gives its connection back whenever it ends, so none that is kept may serve.
            monkeypatch.setattr(replica.client, "_take_idle", lambda: None)
            for _ in range(6):
                reply = await running.post(CHAT, ASK, "x-request-deadline-ms: 1")
                assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
                assert replica.state == "ready"
                assert replica.breaker.consecutive_failures == 0
            assert (await running.post(CHAT, ASK)).status == 200

    async def test_what_is_left_of_it_is_told_to_each_replica(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = Script(headers_delay_s=0.2, status=500)
            async with run_gateway(settings_for(first, second)) as running:
                await running.post(CHAT, ASK, "x-request-deadline-ms: 5000")
                await running.post(CHAT, ASK)
            told = [call.request.headers.get("x-request-deadline-ms") for call in first.calls + second.calls]
        given = sorted(int(value) for value in told if value is not None)
        assert len(given) == 2
        assert given[1] <= 5000
        assert 150 <= given[1] - given[0] < 1000
        assert told.count(None) >= 1

    async def test_first_byte_deadline_moves_the_call(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = Script(fault=Fault.HANG)
            async with run_gateway(settings_for(first, second, timeouts={"first_byte_s": 0.1})) as running:
                assert (await running.post(CHAT, ASK)).status == 200
            assert (first.requests, second.requests) == (1, 1)

    async def test_model_may_have_a_first_byte_deadline_of_its_own(self) -> None:
        async with FakeReplica(script=Script(fault=Fault.HANG)) as only:
            model = {"name": "mock", "kind": "chat", "first_byte_s": 0.1, "replicas": [{"url": only.url}]}
            async with run_gateway(Settings.model_validate({"models": [model]})) as running:
                reply = await running.post(CHAT, ASK)
        assert (reply.status, reply.error["code"]) == (504, "replica_timeout")

    @pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "soon", "9" * 40])
    async def test_deadline_that_is_no_number_is_refused(self, value: str) -> None:
        async with FakeReplica() as only, run_gateway(settings_for(only)) as running:
            reply = await running.post(CHAT, ASK, f"x-request-deadline-ms: {value}")
        assert (reply.status, reply.error["code"]) == (400, "invalid_header")
        assert reply.error["param"] == "x-request-deadline-ms"

    async def test_total_deadline_holds_over_all_attempts(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.script = second.script = Script(fault=Fault.HANG, fault_at=Point.AFTER_HEADERS)
            settings = settings_for(first, second, timeouts={"total_s": 0.3})
            async with run_gateway(settings) as running:
                reply = await running.post(CHAT, ASK)
            assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
            assert json.dumps(reply.error).count("deadline") >= 1
            assert first.requests + second.requests == 1
