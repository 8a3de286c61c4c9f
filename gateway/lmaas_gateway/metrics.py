"""Every metric of the gateway, by name and label; docs/metrics.md lists them.

Labels are bounded: configured model names, their replicas, public routes and status codes; never a key, a
user or anything else that a client chooses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from lmaas_gateway.call import Usage
    from lmaas_gateway.replicas.pool import Pool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_BYTE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 60, 120)


class _CallSeries:
    """The children of one model, route and code: looked up once, then only counted."""

    __slots__ = ("calls", "duration", "first_byte")

    def __init__(self, metrics: Metrics, model: str, route: str, status: int) -> None:
        self.calls = metrics.calls.labels(model, route, str(status))
        self.duration = metrics.duration.labels(model, route)
        self.first_byte = metrics.first_byte.labels(model, route)


class _TokenSeries:
    """The token counters of one model."""

    __slots__ = ("cached", "completion", "prompt")

    def __init__(self, metrics: Metrics, model: str) -> None:
        self.prompt = metrics.prompt_tokens.labels(model)
        self.cached = metrics.cached_tokens.labels(model)
        self.completion = metrics.completion_tokens.labels(model)


class Metrics:
    """The gateway's counters, in a registry of their own.

    Args:
        pools: Read when metrics are asked for, for the gauges of replicas.
        multiprocess_dir: Where several workers keep their counts, to be added up; None for one process.
    """

    def __init__(self, pools: Mapping[str, Pool], *, multiprocess_dir: Path | None = None) -> None:
        self._multiprocess_dir = multiprocess_dir
        self._registry = registry = CollectorRegistry()
        self._pool_collector = _PoolCollector(pools)
        registry.register(self._pool_collector)
        ProcessCollector(registry=registry)
        self.calls = Counter(
            "lmaas_requests", "Calls that ended.", ("model", "route", "code"), registry=registry
        )
        self.duration = Histogram(
            "lmaas_request_duration_seconds",
            "From a call's arrival to the end of its reply.",
            ("model", "route"),
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self.first_byte = Histogram(
            "lmaas_time_to_first_byte_seconds",
            "From a call's arrival to the first byte of its reply's body.",
            ("model", "route"),
            buckets=_FIRST_BYTE_BUCKETS_S,
            registry=registry,
        )
        tokens = ("model",)
        self.prompt_tokens = Counter("lmaas_prompt_tokens", "Prompt tokens.", tokens, registry=registry)
        self.cached_tokens = Counter(
            "lmaas_cached_prompt_tokens",
            "Prompt tokens that a replica found in its prefix cache.",
            tokens,
            registry=registry,
        )
        self.completion_tokens = Counter(
            "lmaas_completion_tokens", "Generated tokens.", tokens, registry=registry
        )
        self.replica_failures = Counter(
            "lmaas_replica_failures",
            "Attempts at a replica that failed, by reason.",
            ("model", "replica", "reason"),
            registry=registry,
        )
        self._call_series: dict[tuple[str, str, int], _CallSeries] = {}
        self._token_series: dict[str, _TokenSeries] = {}

    def count_call(
        self, model: str, route: str, status: int, *, duration_s: float, first_byte_s: float
    ) -> None:
        """Count a call that ended; `first_byte_s` is 0 if it had no body."""
        series = self._call_series.get((model, route, status))
        if series is None:
            series = self._call_series[model, route, status] = _CallSeries(self, model, route, status)
        series.calls.inc()
        series.duration.observe(duration_s)
        if first_byte_s:
            series.first_byte.observe(first_byte_s)

    def count_usage(self, model: str, usage: Usage) -> None:
        """Count the tokens of a call."""
        series = self._token_series.get(model)
        if series is None:
            series = self._token_series[model] = _TokenSeries(self, model)
        series.prompt.inc(usage.prompt_tokens)
        if usage.completion_tokens:
            series.completion.inc(usage.completion_tokens)
        if usage.cached_tokens:
            series.cached.inc(usage.cached_tokens)

    def render(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        if self._multiprocess_dir is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._multiprocess_dir))  # type: ignore[no-untyped-call]  # as released
        registry.register(self._pool_collector)
        return generate_latest(registry)


class _PoolCollector(Collector):
    """Reads the replicas' state when it is asked for, so that keeping it costs a call nothing."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    def describe(self) -> Iterable[Metric]:
        """Tell the names without reading a pool."""
        return _gauges()

    def collect(self) -> Iterator[Metric]:
        """Read all pools."""
        up, in_flight = _gauges()
        for pool in self._pools.values():
            for replica in pool.replicas:
                up.add_metric((pool.name, replica.name), float(replica.is_ready))
                in_flight.add_metric((pool.name, replica.name), replica.in_flight)
        yield up
        yield in_flight


def _gauges() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    labels = ("model", "replica")
    return (
        GaugeMetricFamily("lmaas_replica_up", "1 if the replica's last probe passed.", labels=labels),
        GaugeMetricFamily("lmaas_requests_in_flight", "Calls that the replica works on.", labels=labels),
    )
