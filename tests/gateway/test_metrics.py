"""Counts of one process and of several, in Prometheus' format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lmaas_gateway.call import Usage
from lmaas_gateway.meter import Meter
from lmaas_gateway.metrics import Metrics, names
from lmaas_gateway.metrics.exposition import render
from lmaas_gateway.tallies import TallyFolder, forget_gauges

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.meter import Outcome

CHAT = "/v1/chat/completions"
PLACE = (("model", "mock"), ("replica", "mock-0"))


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = render(metrics).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def call(  # what a call can be
    *,
    status: int = 200,
    usage: Usage | None = None,
    is_stream: bool = False,
    outcome: Outcome = "ok",
    replica: str = "mock-0",
) -> Meter:
    meter = Meter("req_1", CHAT, lambda: 0.0)
    meter.model, meter.replica, meter.status = "mock", replica, status
    meter.is_stream, meter.is_whole, meter.outcome, meter.usage = is_stream, is_stream, outcome, usage
    return meter


def count_one(metrics: Metrics) -> None:
    metrics.count_call(call(usage=Usage(7, 3, 2)), 0.3, 0.02)
    metrics.count_failure("mock", "mock-0", "connect")


def test_every_metric_is_rendered_under_its_name() -> None:
    metrics = Metrics()
    count_one(metrics)
    text = render(metrics).decode()
    for spec in names.ALL:
        assert f"# TYPE {spec.sample_name} {spec.kind}" in text


def test_counts_add_up() -> None:
    metrics = Metrics()
    count_one(metrics)
    count_one(metrics)
    found = samples(metrics)
    model = ("model", "mock")
    replica = ("replica", "mock-0")
    assert found["lmaas_requests_total", (("code", "200"), model, replica, ("route", CHAT))] == 2
    assert found["lmaas_prompt_tokens_total", (model, replica)] == 14
    assert found["lmaas_completion_tokens_total", (model, replica)] == 6
    assert found["lmaas_cached_prompt_tokens_total", (model, replica)] == 4
    failed = (model, ("reason", "connect"), replica)
    assert found["lmaas_replica_failures_total", failed] == 2


def test_histograms_are_cumulative() -> None:
    metrics = Metrics()
    for duration_s in (0.001, 0.3, 0.5, 10_000):
        metrics.count_call(call(), duration_s, 0)
    found = samples(metrics)
    labels = (*PLACE, ("route", CHAT))
    name = "lmaas_request_duration_seconds"

    def under(bound: str) -> float:
        return found[f"{name}_bucket", tuple(sorted((("le", bound), *labels)))]

    assert [under(bound) for bound in ("0.005", "0.25", "0.5", "600.0", "+Inf")] == [1, 1, 3, 3, 4]
    assert found[f"{name}_count", labels] == 4
    assert found[f"{name}_sum", labels] == 10_000.801


def test_counts_of_several_workers_are_added_and_survive_their_ends(tmp_path: Path) -> None:
    first, second, third = (Metrics(folder=TallyFolder(tmp_path)) for _ in range(3))
    for metrics in (first, second):
        count_one(metrics)
        metrics.publish()
    del second
    count_one(first)
    labels = (("code", "200"), *PLACE, ("route", CHAT))
    assert samples(first)["lmaas_requests_total", labels] == 3
    assert samples(third)["lmaas_requests_total", labels] == 2
    first.publish()
    first.publish()
    assert samples(third)["lmaas_requests_total", labels] == 3
    histogram = "lmaas_request_duration_seconds_count", (*PLACE, ("route", CHAT))
    assert samples(third)[histogram] == 3


def test_rendering_counts_nothing_itself() -> None:
    metrics = Metrics()
    count_one(metrics)
    assert samples(metrics)["lmaas_prompt_tokens_total", PLACE] == 7
    assert samples(metrics)["lmaas_prompt_tokens_total", PLACE] == 7


def test_one_process_publishes_nowhere() -> None:
    Metrics().publish()


def test_gauges_that_are_sums_are_added_up_and_end_with_their_process(tmp_path: Path) -> None:
    depths = {"a": 3.0, "b": 4.0}
    waiting = []
    for name, waits in depths.items():
        metrics = Metrics(folder=TallyFolder(tmp_path, name))
        metrics.watch(names.QUEUE_DEPTH, lambda waits=waits: [(("mock", "normal"), waits)])  # type: ignore[misc]  # a default that binds
        metrics.watch(names.CAPACITY, lambda waits=waits: [(("mock",), waits)])  # type: ignore[misc]  # as above
        count_one(metrics)
        metrics.publish()
        waiting.append(metrics)
    depth = ("lmaas_queue_depth", (("model", "mock"), ("priority", "normal")))
    capacity = ("lmaas_pool_capacity", (("model", "mock"),))
    found = samples(waiting[0])
    assert (found[depth], found[capacity]) == (7, 3)
    forget_gauges(tmp_path, "b")
    found = samples(waiting[0])
    assert found[depth] == 3
    assert found["lmaas_prompt_tokens_total", PLACE] == 14


def test_stream_has_a_first_token_and_a_mean_time_between_the_others() -> None:
    metrics = Metrics()
    metrics.count_call(call(is_stream=True, usage=Usage(7, 11)), 1.2, 0.2)
    found = samples(metrics)
    assert found["lmaas_time_to_first_token_seconds_sum", PLACE] == 0.2
    assert found["lmaas_inter_token_latency_seconds_sum", PLACE] == pytest.approx(0.1)


def test_reply_that_no_replica_gave_has_no_first_token() -> None:
    metrics = Metrics()
    metrics.count_call(call(is_stream=True, replica=""), 0.001, 0.001)
    metrics.count_call(call(is_stream=False), 0.1, 0.1)
    found = samples(metrics)
    assert found["lmaas_time_to_first_token_seconds_count", (("model", "mock"), ("replica", ""))] == 0
    assert found["lmaas_time_to_first_token_seconds_count", PLACE] == 0


def test_stream_that_breaks_off_is_counted_beside_its_code() -> None:
    metrics = Metrics()
    metrics.count_call(call(is_stream=True, outcome="interrupted"), 0.2, 0.1)
    found = samples(metrics)
    assert found["lmaas_requests_interrupted_total", PLACE] == 1
    assert found["lmaas_requests_total", (("code", "200"), *PLACE, ("route", CHAT))] == 1
