"""Write the counts for Prometheus, in its text format."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from lmaas_gateway.metrics.names import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from lmaas_gateway.metrics.names import Spec
    from lmaas_gateway.metrics.recorder import Metrics
    from lmaas_gateway.tallies import Tallies

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(metrics: Metrics) -> bytes:
    """Write all metrics, those of the other workers added, and what the system knows of this process."""
    registry = CollectorRegistry()
    registry.register(_Collector(metrics))
    if not metrics.is_shared:
        # Of several workers it would tell of whichever answers, and its counts would seem to fall.
        ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Collector(Collector):
    """Asks for the metrics when Prometheus does."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Tell nothing beforehand: the registry then does not look for clashes of names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give the metrics of this moment."""
        totals = self._metrics.totals()
        for spec in ALL:
            if spec.kind == "counter":
                yield _counter(spec, totals)
            elif spec.kind == "histogram":
                yield _histogram(spec, totals)
            else:
                sums = totals.gauges.get(spec.name, {})
                yield _gauge(spec, sums if spec.is_sum else self._metrics.gauge(spec))


def _gauge(spec: Spec, values: dict[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(spec.name, spec.text, labels=spec.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _counter(spec: Spec, tallies: Tallies) -> Metric:
    family = CounterMetricFamily(spec.name, spec.text, labels=spec.labels)
    for labels, counter in tallies.counters.get(spec.name, {}).items():
        family.add_metric(labels, counter.value)
    return family


def _histogram(spec: Spec, tallies: Tallies) -> Metric:
    family = HistogramMetricFamily(spec.name, spec.text, labels=spec.labels)
    for labels, histogram in tallies.histograms.get(spec.name, {}).items():
        bounds = (*(str(float(bound)) for bound in histogram.bounds), "+Inf")
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric(labels, buckets, histogram.total)
    return family
