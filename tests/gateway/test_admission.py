"""Waiting for a turn, over real sockets: fairness, priority, overload, departures."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas_gateway.settings import Settings
from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_of
from support.stub import RawClient, raw_client, request_bytes

if TYPE_CHECKING:
    from support.serving import Running

QUIET, NOISY, URGENT = "quiet-key-0123456789", "noisy-key-0123456789", "urgent-key-012345678"
KEYS = [
    {"name": "quiet", "key": QUIET},
    {"name": "noisy", "key": NOISY},
    {"name": "urgent", "key": URGENT, "priority": "high"},
]


def settings_with(*replicas: FakeReplica, queue: dict[str, Any] | None = None, **model: Any) -> Settings:
    """Settings of the model `mock`, of three principals and of its queue."""
    settings = settings_of({"mock": list(replicas)}, mock=model).model_dump()
    return Settings.model_validate({**settings, "keys": KEYS, "queue": queue or {}})


def bearer(key: str) -> str:
    return f"authorization: Bearer {key}"


async def timed(client: RawClient, key: str) -> tuple[int, float]:
    """Make one call on a kept connection; give its status and how long it took."""
    began = time.perf_counter()
    client.send(request_bytes(CHAT, ASK, bearer(key)))
    reply = await client.response()
    return reply.status, time.perf_counter() - began


async def calls_of_quiet(port: int, count: int) -> list[float]:
    async with raw_client(port) as client:
        answers = [await timed(client, QUIET) for _ in range(count)]
    assert {status for status, _ in answers} == {200}
    return [took_s for _, took_s in answers]


async def load(port: int, key: str) -> None:
    """Keep one call in flight or waiting, all the time."""
    async with raw_client(port) as client:
        while True:
            status, _ = await timed(client, key)
            if status != 200:
                await asyncio.sleep(0.05)


@pytest.mark.alone
class TestFairness:
    async def test_hundredfold_load_of_one_tenant_leaves_the_other_ones_p99_alone(self) -> None:
        script = Script(headers_delay_s=0.3)
        async with (
            FakeReplica(script=script) as one,
            FakeReplica(script=script) as two,
            run_gateway(settings_with(one, two, max_in_flight=10)) as running,
        ):
            alone = await calls_of_quiet(running.port, 8)
            noise = [asyncio.create_task(load(running.port, NOISY)) for _ in range(100)]
            await running.until(lambda: depth(running) > 70, within_s=10)
            beside = await calls_of_quiet(running.port, 20)
            waiting = depth(running)
            for task in noise:
                task.cancel()
            await asyncio.gather(*noise, return_exceptions=True)
            # The worst of 20 stands for their p99.
            assert max(beside) <= 1.5 * max(alone)
            assert waiting > 50

    async def test_places_go_as_weights_say(self) -> None:
        async with FakeReplica(script=Script(headers_delay_s=0.01)) as replica:
            settings = settings_with(replica, max_in_flight=4, queue={"reserve": 0})
            keys = (settings.keys[0].model_copy(update={"weight": 3.0}), *settings.keys[1:])
            async with run_gateway(settings.model_copy(update={"keys": keys})) as running:
                tasks = [
                    asyncio.create_task(load(running.port, key)) for key in (QUIET, NOISY) for _ in range(30)
                ]
                await running.until(lambda: len(running.lines) > 150, within_s=10)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                served = [line["principal"] for line in running.log[20:140]]
                assert 2 <= served.count("quiet") / served.count("noisy") <= 4


class TestOverload:
    @pytest.mark.alone
    async def test_what_would_wait_in_vain_is_refused_at_once_and_the_rest_is_served(self) -> None:
        async with (
            FakeReplica(script=Script(headers_delay_s=0.05)) as replica,
            run_gateway(settings_with(replica, max_in_flight=4, queue={"timeout_s": 0.5})) as running,
        ):
            # Eighty a second is what the replica does. The first calls wait, since no pace is known yet.
            tasks = [asyncio.create_task(load(running.port, NOISY)) for _ in range(200)]
            await running.until(lambda: len(running.lines) > 1500, within_s=30)
            assert depth(running) <= 100
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            lines = [line for line in running.log if line["status"] in {429, 503}]
            late = lines[len(lines) // 2 :]
            assert late
            assert {line["code"] for line in lines} <= {"queue_share_full", "queue_timeout"}
            assert sum(line["queue_ms"] == 0 for line in late) > 0.5 * len(late)
            served = [line for line in running.log if line["status"] == 200]
            assert all(line["queue_ms"] < 1500 for line in served)
            # What is left is gone at once, and the next call finds an empty pool.
            await running.until(lambda: depth(running) == 0 and running.in_flight == 0, within_s=10)
            async with raw_client(running.port) as client:
                status, _ = await timed(client, NOISY)
            assert status == 200
            assert running.log[-1]["queue_ms"] == 0

    async def test_refusal_names_limit_position_and_when_to_come_again(self) -> None:
        async with (
            FakeReplica(script=Script(headers_delay_s=5)) as replica,
            run_gateway(settings_with(replica, max_in_flight=1, queue={"max_queued": 0})) as running,
        ):
            first = asyncio.create_task(running.post(CHAT, ASK, bearer(QUIET)))
            await running.until(lambda: running.in_flight == 1)
            reply = await running.post(CHAT, ASK, bearer(QUIET))
            assert (reply.status, reply.error["code"]) == (503, "queue_full")
            assert "queue.max_queued" in reply.error["message"]
            assert reply.headers["retry-after"] == "1"
            assert reply.headers["x-lmaas-queue-position"] == "1"
            metrics = await running.get("/metrics", bearer(QUIET))
            assert b'lmaas_queue_rejections_total{model="mock",reason="queue_full"} 1.0' in metrics.body
            assert b'lmaas_pool_capacity{model="mock"} 1.0' in metrics.body
            first.cancel()

    async def test_overloaded_model_is_stood_in_for(self) -> None:
        async with FakeReplica(script=Script(headers_delay_s=5)) as big, FakeReplica() as small:
            models = {"mock": [big], "small": [small]}
            fields = {"mock": {"max_in_flight": 1, "fallbacks": ["small"]}, "small": {}}
            settings = settings_of(models, **fields)
            queue = settings.queue.model_copy(update={"max_queued": 0})
            async with run_gateway(settings.model_copy(update={"queue": queue}), is_ready=False) as running:
                await running.until(lambda: all(p.candidates(()) for p in running.gateway.directory))
                first = asyncio.create_task(running.post(CHAT, ASK))
                await running.until(lambda: running.in_flight == 1)
                reply = await running.post(CHAT, ASK)
                assert reply.status == 200
                assert reply.headers["x-lmaas-model"] == "small"
                first.cancel()


class TestWaiting:
    async def test_wait_is_visible_in_headers_log_and_metrics(self) -> None:
        async with (
            FakeReplica(script=Script(headers_delay_s=0.3)) as replica,
            run_gateway(settings_with(replica, max_in_flight=1)) as running,
        ):
            replies = await asyncio.gather(*(running.post(CHAT, ASK, bearer(QUIET)) for _ in range(2)))
            waited = [reply for reply in replies if "x-lmaas-queue-wait-ms" in reply.headers]
            assert [reply.status for reply in replies] == [200, 200]
            assert len(waited) == 1
            assert int(waited[0].headers["x-lmaas-queue-wait-ms"]) >= 50
            assert waited[0].headers["x-lmaas-queue-position"] == "1"
            await running.logged(2)
            assert sorted(line["queue_ms"] > 50 for line in running.log) == [False, True]
            metrics = (await running.get("/metrics", bearer(QUIET))).body
            assert b'lmaas_queue_wait_seconds_count{model="mock",priority="normal"} 1.0' in metrics
            assert b'lmaas_queue_depth{model="mock",priority="normal"} 0.0' in metrics

    @pytest.mark.parametrize("fields", [ASK, STREAM])
    async def test_client_that_leaves_the_queue_never_reaches_a_replica(self, fields: dict[str, Any]) -> None:
        async with (
            FakeReplica(script=Script(headers_delay_s=0.3)) as replica,
            run_gateway(settings_with(replica, max_in_flight=1)) as running,
        ):
            first = asyncio.create_task(running.post(CHAT, ASK, bearer(QUIET)))
            await running.until(lambda: running.in_flight == 1)
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, fields, bearer(QUIET)))
                await running.until(lambda: depth(running) == 1)
            await running.until(lambda: depth(running) == 0)
            assert (await running.logged())["status"] == 499
            assert (await first).status == 200
            assert replica.requests == 1

    async def test_place_is_given_back_however_a_call_ends(self) -> None:
        scripts = [Script(status=500), Script(status=400), Script(raw="not http\r\n\r\n"), Script()]
        async with (
            FakeReplica() as replica,
            run_gateway(settings_with(replica, max_in_flight=1)) as running,
        ):
            for script in scripts:
                replica.script = script
                await running.post(CHAT, ASK, bearer(QUIET))
                await running.post(CHAT, STREAM, bearer(QUIET))
            await running.until(lambda: admitted(running) == 0)


class TestSequences:
    async def test_engine_gets_no_more_sequences_than_it_takes_at_once(self) -> None:
        async with (
            FakeReplica(script=Script(headers_delay_s=0.3)) as replica,
            run_gateway(settings_with(replica, max_in_flight=4)) as running,
        ):
            asked = [
                asyncio.create_task(running.post(CHAT, {**ASK, "n": 2}, bearer(QUIET))) for _ in range(4)
            ]
            await running.until(lambda: (admitted(running), depth(running)) == (4, 2))
            assert replica.running <= 2
            assert {reply.status for reply in await asyncio.gather(*asked)} == {200}
            await running.until(lambda: admitted(running) == 0)

    async def test_call_heavier_than_the_pool_is_served_and_gives_back_what_it_took(self) -> None:
        async with (
            FakeReplica(script=Script(fault=Fault.HANG)) as replica,
            run_gateway(settings_with(replica, max_in_flight=4)) as running,
        ):
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, {**STREAM, "n": 100}, bearer(QUIET)))
                await running.until(lambda: replica.running == 1)
                assert admitted(running) == 4
            await running.until(lambda: admitted(running) == 0)
            replica.script = Script()
            assert (await running.post(CHAT, {**ASK, "n": 100}, bearer(QUIET))).status == 200

    async def test_texts_of_one_call_for_embeddings_take_a_place_each(self) -> None:
        model = FakeModel("mock", kind="embedding")
        async with FakeReplica(model, script=Script(fault=Fault.HANG)) as replica:
            settings = settings_with(replica, max_in_flight=8, kind="embedding")
            async with run_gateway(settings) as running, raw_client(running.port) as client:
                fields = {"model": "mock", "input": ["one", "two", "three"]}
                client.send(request_bytes("/v1/embeddings", fields, bearer(QUIET)))
                await running.until(lambda: admitted(running) == 3)


class TestPriority:
    async def priority_seen(self, key: str, fields: dict[str, Any], *headers: str, **model: Any) -> Any:
        async with FakeReplica() as replica, run_gateway(settings_with(replica, **model)) as running:
            reply = await running.post(CHAT, {**ASK, **fields}, bearer(key), *headers)
            assert reply.status == 200
            return msgspec.json.decode(replica.calls[0].request.body).get("priority")

    @pytest.mark.parametrize(
        ("key", "fields", "headers", "seen"),
        [
            (QUIET, {}, [], None),
            (QUIET, {"priority": 0}, [], None),
            (QUIET, {"priority": 7}, [], 7),
            (QUIET, {"priority": -7}, [], None),
            (QUIET, {}, ["x-lmaas-priority: low"], 1),
            (QUIET, {"priority": 7}, ["x-lmaas-priority: high"], 7),
            (URGENT, {}, [], -1),
            (URGENT, {"priority": -100}, [], -1),
            (URGENT, {}, ["x-lmaas-priority: Normal"], None),
        ],
    )
    async def test_engine_that_schedules_by_priority_is_told_what_the_key_allows(
        self, key: str, fields: dict[str, Any], headers: list[str], seen: int | None
    ) -> None:
        assert await self.priority_seen(key, fields, *headers, priority_scheduling=True) == seen

    @pytest.mark.parametrize(("key", "fields"), [(URGENT, {}), (QUIET, {"priority": 7})])
    async def test_engine_that_does_not_is_told_nothing(self, key: str, fields: dict[str, Any]) -> None:
        assert await self.priority_seen(key, fields) is None

    async def test_header_that_names_no_class_is_refused(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_with(replica)) as running:
            reply = await running.post(CHAT, ASK, bearer(QUIET), "x-lmaas-priority: urgent")
            assert (reply.status, reply.error["code"]) == (400, "invalid_header")
            assert "high, normal, low" in reply.error["message"]

    async def test_urgent_call_overtakes_those_that_wait(self) -> None:
        async with (
            FakeReplica(script=Script(headers_delay_s=0.4)) as replica,
            run_gateway(settings_with(replica, max_in_flight=1)) as running,
        ):
            waiting = []
            for count in range(4):
                waiting.append(asyncio.create_task(running.post(CHAT, ASK, bearer(QUIET))))
                await running.until(lambda count=count: admitted(running) + depth(running) == count + 1)
            await running.post(CHAT, ASK, bearer(URGENT))
            assert [line["principal"] for line in running.log].index("urgent") <= 2
            await asyncio.gather(*waiting)


async def test_new_bounds_of_the_queue_hold_from_the_next_call_on() -> None:
    async with FakeReplica(script=Script(headers_delay_s=0.2)) as replica:
        settings = settings_with(replica, max_in_flight=1)
        async with run_gateway(settings) as running:
            calls = [asyncio.create_task(running.post(CHAT, ASK, bearer(QUIET))) for _ in range(2)]
            await running.until(lambda: depth(running) == 1)
            queue = settings.queue.model_copy(update={"max_queued": 0})
            changed = settings.model_copy(update={"queue": queue})
            running.gateway.adopt(await running.gateway.prepare(changed))
            assert (await running.post(CHAT, ASK, bearer(NOISY))).error["code"] == "queue_full"
            assert [reply.status for reply in await asyncio.gather(*calls)] == [200, 200]


def depth(running: Running) -> int:
    """How many calls wait."""
    return int(sum(count for _, count in running.gateway.admission.depths()))


def admitted(running: Running) -> int:
    """How many calls have a place in the first pool."""
    return running.gateway.admission.gate(running.pool).in_flight
