"""Counts of one process and of several, in Prometheus' format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from lmaas_gateway import metrics as module
from lmaas_gateway.call import Usage
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.tallies import TallyFolder, forget_gauges

if TYPE_CHECKING:
    from pathlib import Path

CHAT = "/v1/chat/completions"


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def count_one(metrics: Metrics) -> None:
    metrics.count_call("mock", CHAT, 200, duration_s=0.3, first_byte_s=0.02)
    metrics.count_usage("mock", Usage(7, 3, 2))
    metrics.count_failure("mock", "mock-0", "connect")


def test_every_metric_is_rendered_under_its_name() -> None:
    metrics = Metrics({})
    count_one(metrics)
    text = metrics.render().decode()
    for spec in module.ALL:
        assert f"# TYPE {spec.sample_name} {spec.kind}" in text


def test_counts_add_up() -> None:
    metrics = Metrics({})
    count_one(metrics)
    count_one(metrics)
    found = samples(metrics)
    model = ("model", "mock")
    route = ("route", CHAT)
    assert found["lmaas_requests_total", (("code", "200"), model, route)] == 2
    assert found["lmaas_prompt_tokens_total", (model,)] == 14
    assert found["lmaas_completion_tokens_total", (model,)] == 6
    assert found["lmaas_cached_prompt_tokens_total", (model,)] == 4
    failed = (model, ("reason", "connect"), ("replica", "mock-0"))
    assert found["lmaas_replica_failures_total", failed] == 2


def test_histograms_are_cumulative() -> None:
    metrics = Metrics({})
    for duration_s in (0.001, 0.3, 0.5, 10_000):
        metrics.count_call("mock", CHAT, 200, duration_s=duration_s, first_byte_s=0)
    found = samples(metrics)
    labels = (("model", "mock"), ("route", CHAT))
    name = "lmaas_request_duration_seconds"

    def under(bound: str) -> float:
        return found[f"{name}_bucket", tuple(sorted((("le", bound), *labels)))]

    assert [under(bound) for bound in ("0.005", "0.25", "0.5", "600.0", "+Inf")] == [1, 1, 3, 3, 4]
    assert found[f"{name}_count", labels] == 4
    assert found[f"{name}_sum", labels] == 10_000.801


def test_counts_of_several_workers_are_added_and_survive_their_ends(tmp_path: Path) -> None:
    first, second, third = (Metrics({}, folder=TallyFolder(tmp_path)) for _ in range(3))
    for metrics in (first, second):
        count_one(metrics)
        metrics.publish()
    del second
    count_one(first)
    labels = (("code", "200"), ("model", "mock"), ("route", CHAT))
    assert samples(first)["lmaas_requests_total", labels] == 3
    assert samples(third)["lmaas_requests_total", labels] == 2
    first.publish()
    first.publish()
    assert samples(third)["lmaas_requests_total", labels] == 3
    histogram = "lmaas_request_duration_seconds_count", (("model", "mock"), ("route", CHAT))
    assert samples(third)[histogram] == 3


def test_rendering_counts_nothing_itself() -> None:
    metrics = Metrics({})
    count_one(metrics)
    assert samples(metrics)["lmaas_prompt_tokens_total", (("model", "mock"),)] == 7
    assert samples(metrics)["lmaas_prompt_tokens_total", (("model", "mock"),)] == 7


def test_one_process_publishes_nowhere() -> None:
    Metrics({}).publish()


def test_gauges_that_are_sums_are_added_up_and_end_with_their_process(tmp_path: Path) -> None:
    depths = {"a": 3.0, "b": 4.0}
    waiting = []
    for name, waits in depths.items():
        metrics = Metrics({}, folder=TallyFolder(tmp_path, name))
        metrics.watch(module.QUEUE_DEPTH, lambda waits=waits: [(("mock", "normal"), waits)])  # type: ignore[misc]  # a default that binds
        metrics.watch(module.CAPACITY, lambda waits=waits: [(("mock",), waits)])  # type: ignore[misc]  # as above
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
    assert found["lmaas_prompt_tokens_total", (("model", "mock"),)] == 14
