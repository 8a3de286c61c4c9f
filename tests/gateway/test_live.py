"""The numbers of now: what each second adds, over all workers, and who may see it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.call import Usage
from lmaas_gateway.live import Live
from lmaas_gateway.live.history import KEPT_S, History
from lmaas_gateway.live.sums import Sums, class_of, quantile, read_sums
from lmaas_gateway.meter import Meter
from lmaas_gateway.metrics import Metrics, names
from lmaas_gateway.replicas.engine_stats import EngineStats
from lmaas_gateway.tallies import TallyFolder
from lmaas_gateway.testing import FakeReplica
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.meter import Outcome
    from support.serving import Running

KEY = "operators-key-of-this-test"
BEARER = f"authorization: Bearer {KEY}"


class Clock:
    """Unix time that moves when told."""

    now_s = 1_800_000_000.6

    def __call__(self) -> float:
        return self.now_s


def count(
    metrics: Metrics,
    status: int = 200,
    *,
    model: str = "mock",
    outcome: Outcome = "ok",
    ttft_s: float = 0.15,
) -> None:
    """Count a stream of eleven tokens that took a second after its first one."""
    meter = Meter("req_1", CHAT, lambda: 0.0)
    meter.model, meter.replica, meter.status, meter.outcome = model, f"{model}-0", status, outcome
    meter.is_stream = meter.is_whole = True
    meter.usage = Usage(7, 11, 2)
    metrics.count_call(meter, ttft_s + 1.0, ttft_s)


def live_over(metrics: Metrics) -> tuple[Live, Clock]:
    clock = Clock()
    return Live(metrics, dict, clock=clock), clock


class TestWindow:
    """What is counted in a window, and what is not."""

    def test_counts_what_ended_in_it_and_not_what_ended_before(self) -> None:
        metrics = Metrics()
        count(metrics)
        live, clock = live_over(metrics)
        for status in (200, 200, 429, 404, 499, 503):
            count(metrics, status)
            clock.now_s += 1
            live.look()
        flow = live.snapshot(60).total
        assert (flow.calls, flow.prompt_tokens, flow.completion_tokens) == (6, 42, 66)
        assert flow.codes == {"2xx": 2, "429": 1, "4xx": 1, "499": 1, "5xx": 1}
        assert live.snapshot(60).covered_s == 6
        assert flow.calls_per_s == 1
        assert live.snapshot(2).total.codes == {"499": 1, "5xx": 1}

    def test_failures_are_those_that_no_client_caused(self) -> None:
        metrics = Metrics()
        live, clock = live_over(metrics)
        for status, outcome in ((200, "ok"), (200, "interrupted"), (503, "error"), (400, "error")):
            count(metrics, status, outcome=outcome)  # type: ignore[arg-type]  # they are outcomes
        clock.now_s += 1
        live.look()
        flow = live.snapshot().total
        assert (flow.interrupted, flow.error_rate) == (1, 0.5)

    def test_percentiles_lie_in_their_buckets(self) -> None:
        metrics = Metrics()
        live, clock = live_over(metrics)
        for ttft_s in (0.03, 0.15, 0.15, 0.15, 3.0):
            count(metrics, ttft_s=ttft_s)
        clock.now_s += 1
        live.look()
        flow = live.snapshot().total
        assert flow.ttft.count == 5
        assert flow.ttft.mean_s == pytest.approx(0.696)
        assert 0.1 < flow.ttft.p50_s <= 0.2
        assert 1.6 < flow.ttft.p99_s <= 3.2
        assert flow.inter_token.p50_s == pytest.approx(0.1, rel=0.2)
        assert sum(flow.ttft.counts) == 5
        assert len(flow.ttft.counts) == len(live.snapshot().bounds["ttft"]) + 1

    def test_tells_of_each_second_those_without_calls_too(self) -> None:
        metrics = Metrics()
        live, clock = live_over(metrics)
        for calls in (2, 0, 1):
            for _ in range(calls):
                count(metrics)
            clock.now_s += 1
            live.look()
        view = live.snapshot(10, has_seconds=True)
        assert [second.calls for second in view.seconds] == [2, 0, 1]
        assert [second.at - view.at for second in view.seconds] == [-2, -1, 0]
        assert view.last.calls == 1
        assert live.snapshot(10).seconds == ()

    def test_before_the_first_second_there_is_nothing(self) -> None:
        live, _ = live_over(Metrics())
        view = live.snapshot(60, has_seconds=True)
        assert (view.covered_s, view.total.calls, view.total.error_rate, view.last.calls) == (0, 0, 0, 0)

    def test_clock_that_is_set_back_goes_on_by_seconds(self) -> None:
        metrics = Metrics()
        live, clock = live_over(metrics)
        clock.now_s -= 3600
        count(metrics)
        live.look()
        assert live.snapshot(60).total.calls == 1
        assert live.snapshot(60).covered_s == 1

    def test_workers_are_added_up_and_one_that_ended_stays_counted(self, tmp_path: Path) -> None:
        ours, other = (Metrics(folder=TallyFolder(tmp_path, name)) for name in "ab")
        live, clock = live_over(ours)
        count(ours)
        count(other)
        count(other)
        other.publish()
        del other
        clock.now_s += 1
        live.look()
        assert live.snapshot().total.calls == 3

    def test_is_described_once_for_all_who_ask_in_the_same_second(self) -> None:
        live, _ = live_over(Metrics())
        assert live.snapshot(60) is live.snapshot(60)
        assert live.encoded(60) is live.encoded(60)
        before = live.snapshot(60)
        live.look()
        assert live.snapshot(60) is not before

    def test_reaches_no_further_back_than_what_is_kept(self) -> None:
        live, _ = live_over(Metrics())
        assert live.snapshot(10**6).window_s == KEPT_S
        assert live.snapshot(0).window_s == 1


class TestHistory:
    """What is kept, and for how long."""

    def test_forgets_what_is_older_and_keeps_the_sums_right(self) -> None:
        history = History(0, {})
        metrics = Metrics()
        for second in range(1, 2 * KEPT_S):
            count(metrics)
            history.add(second, read_sums(metrics.totals()), (0, 0))
        assert len(history.total._steps) <= KEPT_S + 1
        assert len(history.loads) == KEPT_S
        assert history.since(history.second - KEPT_S)["mock", "mock-0"].calls == KEPT_S
        assert history.since(history.second - 10)["mock", "mock-0"].calls == 10

    def test_what_was_never_seen_before_began_at_zero(self) -> None:
        history = History(0, {("old", ""): Sums()})
        metrics = Metrics()
        count(metrics, model="new")
        history.add(1, read_sums(metrics.totals()), (0, 0))
        assert history.since(0)["new", "new-0"].calls == 1
        assert history.since(0)["old", ""].calls == 0


@pytest.mark.parametrize(
    ("code", "name"),
    [("200", "2xx"), ("404", "4xx"), ("429", "429"), ("499", "499"), ("503", "5xx"), ("0", "5xx")],
)
def test_codes_have_classes(code: str, name: str) -> None:
    assert class_of(code) == name


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [([0, 0, 0], 0.5, 0.0), ([4, 0, 0], 0.5, 0.5), ([0, 2, 0], 1.0, 2.0), ([0, 0, 3], 0.5, 2.0)],
)
def test_quantile_is_found_inside_a_bucket(counts: list[int], share: float, value: float) -> None:
    assert quantile((1.0, 2.0), counts, share) == value


async def test_looks_at_the_middle_of_each_second_and_wakes_who_waits() -> None:
    metrics, clock, pauses = Metrics(), Clock(), list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.now_s += seconds
        await asyncio.sleep(0)

    live = Live(metrics, dict, clock=clock, pause=pause)
    running = asyncio.create_task(live.run())
    first = (await live.next()).at
    second = (await live.next()).at
    running.cancel()
    assert second == first + 1
    assert pauses[:3] == pytest.approx([0.4, 0.5, 0.5])


class TestRoute:
    """`/admin/v1/live`."""

    async def _ask(self, running: Running, query: str = "") -> dict[str, Any]:
        reply = await running.get("/admin/v1/live" + query, BEARER)
        assert reply.status == 200
        found: dict[str, Any] = reply.json
        return found

    async def test_shows_models_and_replicas_with_what_their_engines_say(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica, admin_key=KEY)) as running:
            replica.waiting, replica.kv_cache_usage_perc = 3, 0.25
            for fields in (ASK, STREAM):
                assert (await running.post(CHAT, fields)).status == 200
            told = EngineStats(running=0, waiting=3, kv_cache_usage=0.25)
            await running.until(lambda: running.lines[1:] and running.pool.replicas[0].stats == told)
            running.gateway.live.look()
            view = await self._ask(running, "?window_s=30&seconds=true")
            (model,) = view["models"]
            (shown,) = model["replicas"]
            assert (model["name"], model["state"], model["flow"]["calls"]) == ("mock", "ready", 2)
            assert (shown["name"], shown["state"], shown["in_flight"]) == ("mock-0", "ready", 0)
            assert shown["engine"] == {"running": 0, "waiting": 3, "kv_cache_usage": 0.25}
            assert shown["flow"]["ttft"]["count"] == 1
            assert sum(second["calls"] for second in view["seconds"]) == 2

    async def test_stopped_replica_is_seen_within_five_seconds(self) -> None:
        async with FakeReplica() as replica, FakeReplica() as other:
            settings = settings_for(replica, other, admin_key=KEY, probe_interval_s=60.0)
            async with run_gateway(settings) as running:
                await running.until(lambda: all(one.is_ready for one in running.pool.replicas))
                await replica.stop()
                await running.until(lambda: not running.pool.replicas[0].is_ready, within_s=3)
                running.gateway.live.look()
                (model,) = (await self._ask(running))["models"]
                assert model["state"] == "degraded"
                assert [one["state"] for one in model["replicas"]] == ["down", "ready"]
                assert model["replicas"][0]["problem"]

    async def test_streams_one_event_a_second_until_the_gateway_stops(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica, admin_key=KEY)) as running:
            request = request_bytes(
                "/admin/v1/live?window_s=5", b"", BEARER, "accept: text/event-stream", method="GET"
            )
            async with raw_client(running.port) as client:
                client.send(request)
                status, headers = await client.head()
                assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
                ats = []
                for _ in range(2):
                    event = (await client.chunk()).decode()
                    ats.append(json.loads(event.removeprefix("data: "))["at"])
                    running.gateway.live.look()
                running.gateway.announce_stop()
                assert ats[1] > ats[0]
                while await client.chunk():
                    pass

    async def test_is_for_those_who_may_see_metrics(self) -> None:
        settings_fields: dict[str, Any] = {"admin_key": KEY, "api_key": "an-api-key-of-callers"}
        async with FakeReplica() as replica, run_gateway(settings_for(replica, **settings_fields)) as running:
            assert (await running.get("/admin/v1/live")).status == 401
            assert (await running.get("/admin/v1/live", "authorization: Bearer wrong")).status == 401
            assert (
                await running.get("/admin/v1/live", "authorization: Bearer an-api-key-of-callers")
            ).status == 200

    @pytest.mark.parametrize("query", ["?window_s=0", "?window_s=901", "?window_s=x", "?unknown=1"])
    async def test_says_what_is_wrong_with_a_query(self, query: str) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica, admin_key=KEY)) as running:
            reply = await running.get("/admin/v1/live" + query, BEARER)
            assert reply.status == 400
            assert "query" in reply.error["message"]


def test_gauges_of_the_queue_are_of_all_workers(tmp_path: Path) -> None:
    ours, other = (Metrics(folder=TallyFolder(tmp_path, name)) for name in "ab")
    for metrics, waits in ((ours, 1.0), (other, 2.0)):
        metrics.watch(names.QUEUE_DEPTH, lambda waits=waits: [(("mock", "normal"), waits)])  # type: ignore[misc]  # a default that binds
    other.publish()
    live, _ = live_over(ours)
    live.look()
    assert live.snapshot().waiting == 3
