"""Count what happens: on the hot route one look-up and some additions a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from lmaas_gateway.metrics import names
from lmaas_gateway.tallies import Histogram, Tallies

if TYPE_CHECKING:
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics.names import Spec
    from lmaas_gateway.tallies import TallyFolder

GaugeReader = Callable[[], Iterable[tuple[Sequence[str], float]]]
"""Gives a gauge's labels and values of this moment."""


class _Series:
    """The tallies of one model, replica, route and status: looked up once, then only counted."""

    __slots__ = (
        "cached",
        "calls",
        "completion",
        "duration",
        "first_token",
        "inter_token",
        "interrupted",
        "prompt",
    )

    def __init__(self, tallies: Tallies, meter: Meter) -> None:
        place = (meter.model, meter.replica)
        self.calls = tallies.counter(names.CALLS.name, (*place, meter.route, str(meter.status)))
        self.duration = _histogram(tallies, names.DURATION, (*place, meter.route))
        self.prompt = tallies.counter(names.PROMPT_TOKENS.name, place)
        self.cached = tallies.counter(names.CACHED_TOKENS.name, place)
        self.completion = tallies.counter(names.COMPLETION_TOKENS.name, place)
        self.interrupted = tallies.counter(names.INTERRUPTED.name, place)
        self.first_token = _histogram(tallies, names.FIRST_TOKEN, place)
        self.inter_token = _histogram(tallies, names.INTER_TOKEN, place)


class Metrics:
    """What the gateway counts.

    Args:
        folder: Where several workers share their counts; None for one process.
    """

    def __init__(self, *, folder: TallyFolder | None = None) -> None:
        self._folder = folder
        self._tallies = Tallies()
        self._series: dict[tuple[str, str, str, int], _Series] = {}
        self._gauges: dict[Spec, GaugeReader] = {}

    @property
    def is_shared(self) -> bool:
        """Whether several workers share their counts."""
        return self._folder is not None

    def count_call(self, meter: Meter, duration_s: float, first_byte_s: float) -> None:
        """Count a call that ended.

        Args:
            meter: What was learned of it.
            duration_s: How long it took.
            first_byte_s: When the body of its reply began; 0 if it had none.
        """
        key = (meter.model, meter.replica, meter.route, meter.status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(self._tallies, meter)
        series.calls.value += 1
        series.duration.observe(duration_s)
        if meter.outcome == "interrupted":
            series.interrupted.value += 1
        usage = meter.usage
        if usage is not None:
            series.prompt.value += usage.prompt_tokens
            series.cached.value += usage.cached_tokens
            series.completion.value += usage.completion_tokens
        if meter.is_stream and first_byte_s and meter.replica:
            series.first_token.observe(first_byte_s)
            if usage is not None and usage.completion_tokens > 1 and meter.is_whole:
                series.inter_token.observe((duration_s - first_byte_s) / (usage.completion_tokens - 1))

    def count_failure(self, model: str, replica: str, reason: str) -> None:
        """Count an attempt at a replica that failed."""
        self.count(names.REPLICA_FAILURES, (model, replica, reason))

    def count_rejection(self, model: str, reason: str) -> None:
        """Count a call that was not let through."""
        self.count(names.REJECTIONS, (model, reason))

    def count(self, spec: Spec, labels: tuple[str, ...], value: float = 1) -> None:
        """Count what happens seldom enough to be looked up by name each time."""
        self._tallies.counter(spec.name, labels).value += value

    def observe_lag(self, seconds: float) -> None:
        """Take note of how late the event loop was."""
        _histogram(self._tallies, names.LOOP_LAG, ()).observe(seconds)

    def observe_store(self, store: str, operation: str, outcome: str, took_s: float) -> None:
        """Count what a store was asked for."""
        _histogram(self._tallies, names.STORE_DURATION, (store, operation, outcome)).observe(took_s)

    def observe_wait(self, model: str, priority: str, waited_s: float) -> None:
        """Count a call that waited for its turn."""
        _histogram(self._tallies, names.QUEUE_WAIT, (model, priority)).observe(waited_s)

    def watch(self, spec: Spec, read: GaugeReader) -> None:
        """Ask `read` for the values of a gauge whenever metrics are asked for."""
        self._gauges[spec] = read

    def publish(self) -> None:
        """Leave the counts where the other workers find them."""
        if self._folder is not None:
            self._tallies.gauges = self._parts()
            self._folder.publish(self._tallies)
            self._tallies.gauges = {}

    def totals(self) -> Tallies:
        """Add up the counts of all workers, and the gauges that each has a part of."""
        totals = Tallies(gauges=self._parts())
        totals.add(self._tallies)
        for other in () if self._folder is None else self._folder.others():
            totals.add(other)
        return totals

    def gauge(self, spec: Spec) -> dict[tuple[str, ...], float]:
        """Read a gauge as this process knows it, by its labels."""
        read = self._gauges.get(spec)
        return {} if read is None else {tuple(labels): value for labels, value in read()}

    def _parts(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Give this process's parts of the gauges that are sums over all workers."""
        return {spec.name: self.gauge(spec) for spec in self._gauges if spec.is_sum}


def _histogram(tallies: Tallies, spec: Spec, labels: tuple[str, ...]) -> Histogram:
    return tallies.histogram(spec.name, labels, spec.buckets)
