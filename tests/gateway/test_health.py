"""Probing: what makes a replica ready, what makes it not, and that nothing ends the asking."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.breaker import Breaker
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.engine_stats import EngineStats
from lmaas_gateway.replicas.health import Prober
from lmaas_gateway.replicas.pool import Pool, Replica
from lmaas_gateway.settings import EjectionSettings, ReplicaSettings, TimeoutSettings
from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Script
from support.stub import read_request, stub_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from lmaas_gateway.settings import ModelKind


@contextlib.asynccontextmanager
async def pool_of(
    fake: FakeReplica,
    name: str = "mock",
    kind: ModelKind = "chat",
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Pool]:
    address = Address.parse(ReplicaSettings(url=fake.url))
    rules = EjectionSettings(base_s=0.05)
    timeouts = TimeoutSettings(first_byte_s=0.3)
    replica = Replica("mock-0", ReplicaClient(address, timeouts=timeouts), breaker=Breaker(rules, clock))
    try:
        yield Pool(name, kind, (replica,), 0)
    finally:
        replica.client.close()


class Clock:
    """Of a breaker: its time is given."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def probe(pool: Pool, timeout_s: float = 5.0) -> Replica:
    (replica,) = pool.replicas
    await Prober([pool], interval_s=1, timeout_s=timeout_s).probe(pool, replica)
    return replica


async def test_replica_that_serves_the_model_is_ready() -> None:
    async with FakeReplica(FakeModel(max_model_len=512)) as fake, pool_of(fake) as pool:
        replica = await probe(pool)
        assert replica.is_ready
        assert replica.was_ready
        assert (replica.served_model_name, replica.max_model_len, replica.problem) == ("mock", 512, "")
        assert pool.max_model_len == 512


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (Script(status=503), "answered 503"),
        (Script(status=200, body="[]"), "not OpenAI's"),
        (Script(status=200, body='{"data":[{"id":7}]}'), "not OpenAI's"),
        (Script(status=200, body='{"a":' * 100_000), "not OpenAI's"),
        (Script(status=200, body='{"data":[]}'), "serves no model"),
        (Script(status=200, body='{"data":[{"id":"a"},{"id":"b"}]}'), "serves no model"),
        (Script(status=200, body="x" * 2_000_000), "does not end"),
        (Script(raw="nonsense"), "not an HTTP reply"),
        (Script(fault=Fault.CLOSE), "closed"),
        (Script(fault=Fault.HANG), "in time"),
    ],
)
async def test_replica_with_a_problem_is_not_ready_and_says_why(script: Script, says: str) -> None:
    async with FakeReplica() as fake, pool_of(fake) as pool:
        await probe(pool)
        fake.probe_script = script
        replica = await probe(pool, timeout_s=0.1)
        assert not replica.is_ready
        assert replica.was_ready
        assert says in replica.problem


async def test_bytes_that_are_not_utf8_are_a_problem_and_no_crash() -> None:
    async with FakeReplica() as fake, pool_of(fake) as pool:
        body = 'HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{"data":[{"id":"\xff\xff\xff"}]}'
        fake.probe_script = Script(raw=body)
        replica = await probe(pool)
        assert "not OpenAI's" in replica.problem


@pytest.mark.parametrize(
    ("served", "chosen"),
    [
        ([{"id": "other"}, {"id": "mock", "parent": "other"}], "mock"),
        ([{"id": "base"}, {"id": "lora", "parent": "base"}], "base"),
        ([{"id": "base"}], "base"),
    ],
)
async def test_model_is_found_by_name_or_as_the_only_one(served: list[dict[str, str]], chosen: str) -> None:
    async with FakeReplica() as fake, pool_of(fake) as pool:
        fake.probe_script = Script(body=json.dumps({"data": served}))
        assert (await probe(pool)).served_model_name == chosen


async def test_replicas_are_asked_again_and_again_sooner_while_not_ready() -> None:
    pauses: list[float] = []
    asked_often = asyncio.Event()

    async def pause(_: asyncio.Event, seconds: float) -> None:
        pauses.append(seconds)
        fake.probe_script = Script(status=503) if len(pauses) == 2 else Script()
        if len(pauses) == 4:
            asked_often.set()
        await asyncio.sleep(0)

    async with FakeReplica() as fake, pool_of(fake) as pool:
        prober = Prober([pool], interval_s=9, pause=pause)
        await prober.start()
        await asyncio.wait_for(asked_often.wait(), 5)
        await prober.stop()
        asked = fake.record.probes["/health"]
        await asyncio.sleep(0.05)
        assert fake.record.probes["/health"] == asked
    assert pauses[:4] == [9, 9, 0.5, 9]


async def test_replica_dropped_as_its_pause_ends_is_not_asked_again() -> None:
    is_paused, is_due = asyncio.Event(), asyncio.Event()

    async def pause(_: asyncio.Event, seconds: float) -> None:
        del seconds
        is_paused.set()
        await is_due.wait()

    async with FakeReplica() as fake, pool_of(fake) as pool:
        prober = Prober([pool], interval_s=9, pause=pause)
        await prober.start()
        await asyncio.wait_for(is_paused.wait(), 5)
        tasks = [task for task in asyncio.all_tasks() if "Prober." in repr(task.get_coro())]
        asked = fake.record.probes["/health"]
        is_due.set()
        prober.follow(())
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert len(tasks) == 3
        assert not [error for error in ended if isinstance(error, Exception)]
        assert fake.record.probes["/health"] == asked


async def test_metrics_of_a_replica_are_read_with_its_probe() -> None:
    async with FakeReplica() as fake, pool_of(fake) as pool:
        fake.waiting, fake.kv_cache_usage_perc = 4, 0.5
        replica = await probe(pool)
        assert replica.stats == EngineStats(running=0, waiting=4, kv_cache_usage=0.5)
        assert replica.foreign_calls == 4


async def test_replica_without_metrics_is_ready_all_the_same() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            body = b'{"data":[{"id":"mock"}]}' if b"/v1/models" in request else b""
            status = b"404 Not Found" if b"/metrics" in request else b"200 OK"
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))

    async with stub_server(answer) as port:
        client = ReplicaClient(Address("127.0.0.1", port), timeouts=TimeoutSettings())
        replica = Replica("mock-0", client)
        await probe(Pool("mock", "chat", (replica,), 0))
        assert replica.is_ready
        assert replica.stats is None
        client.close()


async def test_metrics_that_do_not_come_in_time_are_no_problem() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            if b"/metrics" in request:
                continue
            body = b'{"data":[{"id":"mock"}]}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with stub_server(answer) as port:
        client = ReplicaClient(Address("127.0.0.1", port), timeouts=TimeoutSettings())
        replica = Replica("mock-0", client)
        await probe(Pool("mock", "chat", (replica,), 0), timeout_s=0.1)
        assert (replica.is_ready, replica.stats) == (True, None)
        client.close()


async def test_replica_whose_connections_are_all_at_work_stays_ready() -> None:
    async with FakeReplica(script=Script(fault=Fault.HANG)) as fake, pool_of(fake) as pool:
        replica = await probe(pool)
        replica.client.limit(TimeoutSettings(), 1)
        call = asyncio.ensure_future(replica.client.post("/v1/completions", b"{}"))
        await fake.record.until(lambda: fake.running == 1)
        assert (await probe(pool)).is_ready
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def until(condition: Callable[[], bool], *, within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def watched(prober: Prober, fake: FakeReplica, replica: Replica) -> None:
    """Begin to probe, and wait until the watcher has asked once and rests."""
    await prober.start()
    await fake.record.until(lambda: fake.record.probes["/metrics"] == 2)
    await until(lambda: not replica.client._busy)
    await asyncio.sleep(0)


async def test_replica_that_a_call_found_gone_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmaas_gateway.replicas.health._NOT_READY_INTERVAL_S", 1000)
    async with FakeReplica() as fake, pool_of(fake) as pool:
        (replica,) = pool.replicas
        prober = Prober([pool], interval_s=1000)
        await watched(prober, fake, replica)
        replica.mark_failed("refused one connection")
        await until(lambda: replica.is_ready)
        await prober.stop()


async def test_replica_that_stays_down_is_not_asked_without_pause() -> None:
    async with FakeReplica() as fake, pool_of(fake) as pool:
        (replica,) = pool.replicas
        prober = Prober([pool], interval_s=1000)
        await watched(prober, fake, replica)
        fake.probe_script = Script(status=503)
        replica.mark_failed("refused one connection")
        await asyncio.sleep(0.2)
        assert fake.record.probes["/health"] == 3
        await prober.stop()


async def test_replica_that_hangs_is_suspect_at_once_down_later_and_well_when_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lmaas_gateway.replicas.health.SUSPECT_AFTER_S", 0.05)
    async with FakeReplica() as fake, pool_of(fake) as pool:
        (replica,) = pool.replicas
        prober = Prober([pool], interval_s=1000, timeout_s=0.4, beat_s=0.05)
        await prober.start()
        fake.probe_script = Script(fault=Fault.HANG)
        await until(lambda: replica.state == "suspect")
        assert pool.candidates(()) == [replica], "it takes calls: it may be busy, and nothing more"
        assert "health check" in replica.problem
        await until(lambda: replica.state == "down")
        assert replica.is_silent
        fake.probe_script = Script()
        await until(lambda: replica.state == "ready")
        assert (replica.is_silent, replica.problem) == (False, "")
        await prober.stop()


async def test_replica_that_answers_late_is_suspect_only_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmaas_gateway.replicas.health.SUSPECT_AFTER_S", 0.05)
    async with FakeReplica() as fake, pool_of(fake) as pool:
        (replica,) = pool.replicas
        prober = Prober([pool], interval_s=1000, beat_s=0.05)
        await prober.start()
        fake.probe_script = Script(headers_delay_s=1)
        await until(lambda: replica.state == "suspect")
        fake.probe_script = Script()
        await until(lambda: replica.state == "ready")
        assert replica.problem == ""
        await prober.stop()


async def test_gateway_that_is_late_itself_suspects_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmaas_gateway.replicas.health.SUSPECT_AFTER_S", 0.05)
    monkeypatch.setattr("lmaas_gateway.replicas.health._OWN_LAG_S", 0.05)
    async with FakeReplica() as fake, pool_of(fake) as pool:
        replica = await probe(pool)
        fake.probe_script = Script(headers_delay_s=0.06)
        states = []
        asked = asyncio.ensure_future(Prober([pool], interval_s=1)._listen(replica))
        await asyncio.sleep(0.01)
        time.sleep(0.2)  # noqa: ASYNC251 - a loop that is held up
        while not asked.done():
            states.append(replica.state)
            await asyncio.sleep(0)
        assert set(states) == {"ready"}


async def test_between_two_probes_a_replica_is_asked_only_whether_it_is_well() -> None:
    async with FakeReplica() as fake, pool_of(fake) as pool:
        (replica,) = pool.replicas
        prober = Prober([pool], interval_s=1000, beat_s=0.02)
        await prober.start()
        await fake.record.until(lambda: fake.record.probes["/health"] >= 5)
        assert fake.record.probes["/v1/models"] == 2
        fake.probe_script = Script(status=503)
        await until(lambda: not replica.is_ready)
        assert "503" in replica.problem
        await prober.stop()


class TestTrial:
    async def test_after_a_reload_it_is_a_call_of_the_new_kind(self) -> None:
        async with FakeReplica(FakeModel(kind="embedding")) as fake, pool_of(fake) as pool:
            (replica,) = pool.replicas
            prober = Prober([pool], interval_s=0.02)
            await prober.start()
            prober.follow([dataclasses.replace(pool, kind="embedding")])
            replica.breaker.eject()
            await until(lambda: not replica.breaker.is_ejected)
            assert {call.request.path for call in fake.calls} == {"/v1/embeddings"}
            await prober.stop()

    @pytest.mark.parametrize("kind", ["chat", "completion", "embedding", "rerank", "classify"])
    async def test_ejected_replica_comes_back_once_it_has_answered_a_call_of_its_kind(
        self, kind: ModelKind
    ) -> None:
        clock = Clock()
        async with FakeReplica(FakeModel(kind=kind)) as fake, pool_of(fake, kind=kind, clock=clock) as pool:
            replica = await probe(pool)
            replica.breaker.eject()
            await probe(pool)
            assert (replica.breaker.is_ejected, fake.requests) == (True, 0)
            clock.now_s += 0.06
            await probe(pool)
            assert (replica.breaker.is_ejected, fake.requests) == (False, 1)

    @pytest.mark.parametrize(
        "script",
        [Script(status=500), Script(fault=Fault.CLOSE), Script(fault=Fault.HANG), Script(status=404)],
    )
    async def test_replica_that_fails_it_stays_out_for_longer(self, script: Script) -> None:
        clock = Clock()
        async with FakeReplica(script=script) as fake, pool_of(fake, clock=clock) as pool:
            replica = await probe(pool)
            replica.breaker.eject()
            clock.now_s += 0.06
            await probe(pool)
            assert replica.is_ready
            assert replica.breaker.is_ejected
            assert not replica.breaker.is_probe_due

    async def test_busy_replica_is_asked_again_at_the_next_probe(self) -> None:
        clock = Clock()
        async with FakeReplica(script=Script(status=503)) as fake, pool_of(fake, clock=clock) as pool:
            replica = await probe(pool)
            replica.breaker.eject()
            clock.now_s += 0.06
            await probe(pool)
            assert replica.breaker.is_probe_due
            fake.script = Script()
            await probe(pool)
            assert not replica.breaker.is_ejected

    async def test_replica_that_was_started_anew_need_not_wait(self) -> None:
        async with FakeReplica() as fake, pool_of(fake) as pool:
            replica = await probe(pool)
            replica.breaker.follow(EjectionSettings(base_s=1000))
            replica.breaker.eject()
            replica.mark_failed("no connection")
            await probe(pool)
            assert not replica.breaker.is_ejected
