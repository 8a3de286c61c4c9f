"""Every metric of the gateway, by name and label; docs/metrics.md lists them.

Labels are bounded: configured model names, their replicas, public routes and status codes; never a key, a
user or anything else that a client chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from lmaas_gateway.loop_watch import count_tasks
from lmaas_gateway.replicas.pool import REPLICA_STATES
from lmaas_gateway.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from lmaas_gateway.call import Usage
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.tallies import TallyFolder

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_QUEUE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_FIRST_BYTE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 60, 120)
_STORE_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


@dataclass(frozen=True, slots=True)
class Spec:
    """A metric's name without suffix, its labels and its meaning.

    Attributes:
        buckets: Upper bounds of a histogram, in seconds.
        is_sum: Of a gauge that each worker has a part of.
    """

    kind: Literal["counter", "histogram", "gauge"]
    name: str
    labels: tuple[str, ...]
    text: str
    buckets: tuple[float, ...] = ()
    is_sum: bool = False

    @property
    def sample_name(self) -> str:
        """The name that stands in the output."""
        return self.name + "_total" if self.kind == "counter" else self.name


CALLS = Spec("counter", "lmaas_requests", ("model", "route", "code"), "Calls that ended.")
DURATION = Spec(
    "histogram",
    "lmaas_request_duration_seconds",
    ("model", "route"),
    "From a call's arrival to the end of its reply.",
    _DURATION_BUCKETS_S,
)
FIRST_BYTE = Spec(
    "histogram",
    "lmaas_time_to_first_byte_seconds",
    ("model", "route"),
    "From a call's arrival to the first byte of its reply's body.",
    _FIRST_BYTE_BUCKETS_S,
)
PROMPT_TOKENS = Spec("counter", "lmaas_prompt_tokens", ("model",), "Prompt tokens.")
CACHED_TOKENS = Spec(
    "counter",
    "lmaas_cached_prompt_tokens",
    ("model",),
    "Prompt tokens that a replica found in its prefix cache.",
)
COMPLETION_TOKENS = Spec("counter", "lmaas_completion_tokens", ("model",), "Generated tokens.")
REPLICA_FAILURES = Spec(
    "counter",
    "lmaas_replica_failures",
    ("model", "replica", "reason"),
    "Attempts at a replica that failed: connect, busy, closed, deadline, protocol, status, reply (a 200 that "
    "was none) or interrupted (after its first byte).",
)
RETRIES = Spec(
    "counter",
    "lmaas_retries",
    ("model", "outcome"),
    "Calls that failed before their first byte and went to another replica (made), or had no retry left "
    "(denied).",
)
EJECTIONS = Spec(
    "counter",
    "lmaas_replica_ejections",
    ("model", "replica"),
    "Times that a replica was taken out of service.",
)
IDEMPOTENT_REPLAYS = Spec(
    "counter",
    "lmaas_idempotent_replays",
    ("model",),
    "Calls answered with the reply that their `Idempotency-Key` had got before.",
)
CACHE_HITS = Spec(
    "counter",
    "lmaas_response_cache_hits",
    ("model", "how"),
    "Calls answered from the response cache: hit, or coalesced with an equal call that was under way.",
)
CACHE_MISSES = Spec(
    "counter", "lmaas_response_cache_misses", ("model",), "Calls that the response cache could not answer."
)
CACHE_SAVED_TOKENS = Spec(
    "counter",
    "lmaas_response_cache_saved_tokens",
    ("model",),
    "Tokens, prompt and completion, of the replies that the response cache gave; in no other count.",
)
FALLBACKS = Spec(
    "counter",
    "lmaas_fallbacks",
    ("model", "answered_by"),
    "Calls for one model that another answered, because the first could not serve them.",
)
CONNECTIONS_ENDED = Spec(
    "counter",
    "lmaas_client_connections_ended",
    ("reason",),
    "Client connections ended by a rule: too_many_total, too_many_address, head_timeout, body_timeout or "
    "slow_reader.",
)
STORED_BYTES = Spec(
    "gauge",
    "lmaas_stored_reply_bytes",
    ("store",),
    "Memory that kept replies take: idempotency or cache; not what lies in a folder.",
    is_sum=True,
)
REPLICA_UP = Spec("gauge", "lmaas_replica_up", ("model", "replica"), "1 if the replica's last probe passed.")
REPLICA_STATE = Spec(
    "gauge",
    "lmaas_replica_state",
    ("model", "replica", "state"),
    "1 for the state that the replica is in: ready, draining (no new calls), down (its probe fails), "
    "ejected (its calls fail) or cooling (it asked for a pause).",
)
RETRY_BUDGET = Spec("gauge", "lmaas_retry_budget", ("model",), "Retries that the pool's calls have left.")
CONFIG_CHANGES = Spec(
    "counter",
    "lmaas_config_reloads",
    ("result",),
    "Reloads and operators' changes of the configuration: `changed`, `unchanged` or `refused`.",
)
IN_FLIGHT = Spec(
    "gauge",
    "lmaas_requests_in_flight",
    ("model", "replica"),
    "Calls that the replica works on.",
)
RUNNING = Spec(
    "gauge",
    "lmaas_replica_requests_running",
    ("model", "replica"),
    "Requests that the replica works on, whoever sent them, as it said last.",
)
WAITING = Spec(
    "gauge",
    "lmaas_replica_requests_waiting",
    ("model", "replica"),
    "Requests that wait inside the replica, as it said last.",
)
KV_CACHE_USAGE = Spec(
    "gauge",
    "lmaas_replica_kv_cache_usage_ratio",
    ("model", "replica"),
    "How much of the replica's KV cache is in use, from 0 to 1, as it said last.",
)
LOOP_LAG = Spec(
    "histogram",
    "lmaas_event_loop_lag_seconds",
    (),
    "How late a timer of the event loop came, four times a second: what blocks the loop delays every call.",
    _LAG_BUCKETS_S,
)
LOOP_TASKS = Spec("gauge", "lmaas_event_loop_tasks", (), "Tasks of this process's event loop.")

REPLICA_BUSY = Spec(
    "counter",
    "lmaas_replica_busy_seconds",
    ("model", "replica"),
    "Time in which the replica worked on calls: its rate is the utilisation, and what is left of 1 was idle.",
)
BOOKS_WAITING = Spec(
    "gauge",
    "lmaas_books_waiting_bytes",
    ("where",),
    "Records of calls that the ledger does not have yet: in the `journal`, or in `memory` since the journal "
    "can take no more. What is in memory is lost with the process.",
    is_sum=True,
)
BOOKS_LOST = Spec(
    "counter",
    "lmaas_books_lost_calls",
    (),
    "Calls that were served and could not be written down. Anything but 0 is an alarm.",
)
CONTENTS_LOST = Spec(
    "counter",
    "lmaas_contents_lost",
    ("reason",),
    "Calls whose contents should have been kept and were not: too much waited for the database (full), or no "
    "key could seal them (unsealed).",
)
BOOKS_SHIPPED = Spec("counter", "lmaas_books_shipped_calls", (), "Calls that were shipped to the ledger.")
BOOKS_FAILURES = Spec(
    "counter", "lmaas_books_ship_failures", (), "Times that the ledger did not take what was shipped to it."
)
BOOKS_RECOVERED = Spec(
    "counter",
    "lmaas_books_recovered_calls",
    (),
    "Calls in flight of a gateway process that died, which another one billed by what they had been given.",
)

STORE_DURATION = Spec(
    "histogram",
    "lmaas_store_duration_seconds",
    ("store", "operation", "outcome"),
    "How long transactions of the database, or commands of Valkey, took, and whether they went well (ok) or "
    "not (failed).",
    _STORE_BUCKETS_S,
)
STORE_OPEN = Spec(
    "gauge",
    "lmaas_store_breaker_open",
    ("store", "operation"),
    "1 while a store is left alone because it failed several times in a row.",
)

QUEUE_WAIT = Spec(
    "histogram",
    "lmaas_queue_wait_seconds",
    ("model", "priority"),
    "How long calls waited that did wait and got through.",
    _QUEUE_BUCKETS_S,
)
REJECTIONS = Spec(
    "counter",
    "lmaas_queue_rejections",
    ("model", "reason"),
    "Calls that were not let through: queue_full, share_full, wait_too_long, shed, timeout or deadline.",
)
QUEUE_DEPTH = Spec(
    "gauge", "lmaas_queue_depth", ("model", "priority"), "Calls that wait for a place.", is_sum=True
)
CAPACITY = Spec(
    "gauge", "lmaas_pool_capacity", ("model",), "Calls that the model's available replicas take at once."
)

LIMIT_REFUSALS = Spec(
    "counter",
    "lmaas_limit_refusals",
    ("subject", "metric", "period"),
    "Calls that a limit left no room for, by the kind of its subject (organization, project, key, member or "
    "model), by what it counts and by its period.",
)
RESERVED_TOKENS = Spec(
    "gauge",
    "lmaas_reserved_tokens",
    (),
    "Tokens, prompt and completion, that calls under way hold of limits.",
    is_sum=True,
)

FEEDBACK = Spec(
    "counter",
    "lmaas_feedback",
    ("model", "thumbs"),
    "What callers said of replies: up, down, or none where it was a score or a label alone; said again, it "
    "counts again.",
)

ALL = (
    CALLS,
    DURATION,
    FIRST_BYTE,
    PROMPT_TOKENS,
    CACHED_TOKENS,
    COMPLETION_TOKENS,
    REPLICA_FAILURES,
    RETRIES,
    EJECTIONS,
    IDEMPOTENT_REPLAYS,
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_SAVED_TOKENS,
    STORED_BYTES,
    FALLBACKS,
    CONNECTIONS_ENDED,
    REPLICA_UP,
    REPLICA_STATE,
    RETRY_BUDGET,
    CONFIG_CHANGES,
    IN_FLIGHT,
    RUNNING,
    WAITING,
    KV_CACHE_USAGE,
    LOOP_LAG,
    LOOP_TASKS,
    STORE_DURATION,
    STORE_OPEN,
    QUEUE_WAIT,
    REJECTIONS,
    QUEUE_DEPTH,
    CAPACITY,
    REPLICA_BUSY,
    BOOKS_WAITING,
    BOOKS_LOST,
    CONTENTS_LOST,
    BOOKS_SHIPPED,
    BOOKS_FAILURES,
    BOOKS_RECOVERED,
    LIMIT_REFUSALS,
    RESERVED_TOKENS,
    FEEDBACK,
)


GaugeReader = Callable[[], Iterable[tuple[Sequence[str], float]]]
"""Gives a gauge's labels and values of this moment."""


class _CallSeries:
    """The tallies of one model, route and status: looked up once, then only counted."""

    __slots__ = ("calls", "duration", "first_byte")

    def __init__(self, tallies: Tallies, model: str, route: str, status: int) -> None:
        self.calls = tallies.counter(CALLS.name, (model, route, str(status)))
        self.duration = tallies.histogram(DURATION.name, (model, route), DURATION.buckets)
        self.first_byte = tallies.histogram(FIRST_BYTE.name, (model, route), FIRST_BYTE.buckets)


class _TokenSeries:
    """The token counters of one model."""

    __slots__ = ("cached", "completion", "prompt")

    def __init__(self, tallies: Tallies, model: str) -> None:
        self.prompt = tallies.counter(PROMPT_TOKENS.name, (model,))
        self.cached = tallies.counter(CACHED_TOKENS.name, (model,))
        self.completion = tallies.counter(COMPLETION_TOKENS.name, (model,))


class Metrics:
    """What the gateway counts.

    Args:
        pools: Read when metrics are asked for, for the gauges of replicas.
        folder: Where several workers share their counts; None for one process.
    """

    def __init__(self, pools: Mapping[str, Pool], *, folder: TallyFolder | None = None) -> None:
        self._pools = pools
        self._folder = folder
        self._tallies = Tallies()
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self))
        ProcessCollector(registry=self._registry)
        self._call_series: dict[tuple[str, str, int], _CallSeries] = {}
        self._token_series: dict[str, _TokenSeries] = {}
        self._watched: dict[Spec, GaugeReader] = dict.fromkeys(
            (QUEUE_DEPTH, CAPACITY, STORED_BYTES, BOOKS_WAITING, RESERVED_TOKENS, STORE_OPEN), tuple
        )

    def follow(self, pools: Mapping[str, Pool]) -> None:
        """Report the gauges of these pools from now on."""
        self._pools = pools

    def count_call(
        self, model: str, route: str, status: int, *, duration_s: float, first_byte_s: float
    ) -> None:
        """Count a call that ended; `first_byte_s` is 0 if its reply had no body."""
        series = self._call_series.get((model, route, status))
        if series is None:
            series = self._call_series[model, route, status] = _CallSeries(
                self._tallies, model, route, status
            )
        series.calls.value += 1
        series.duration.observe(duration_s)
        if first_byte_s:
            series.first_byte.observe(first_byte_s)

    def count_usage(self, model: str, usage: Usage) -> None:
        """Count the tokens of a call."""
        series = self._token_series.get(model)
        if series is None:
            series = self._token_series[model] = _TokenSeries(self._tallies, model)
        series.prompt.value += usage.prompt_tokens
        series.cached.value += usage.cached_tokens
        series.completion.value += usage.completion_tokens

    def count_failure(self, model: str, replica: str, reason: str) -> None:
        """Count an attempt at a replica that failed."""
        self._tallies.counter(REPLICA_FAILURES.name, (model, replica, reason)).value += 1

    def count(self, spec: Spec, labels: tuple[str, ...], value: float = 1) -> None:
        """Count what happens seldom enough to be looked up by name each time."""
        self._tallies.counter(spec.name, labels).value += value

    def observe_lag(self, seconds: float) -> None:
        """Take note of how late the event loop was."""
        self._tallies.histogram(LOOP_LAG.name, (), LOOP_LAG.buckets).observe(seconds)

    def observe_store(self, store: str, operation: str, outcome: str, took_s: float) -> None:
        """Count what a store was asked for."""
        labels = (store, operation, outcome)
        self._tallies.histogram(STORE_DURATION.name, labels, STORE_DURATION.buckets).observe(took_s)

    def observe_wait(self, model: str, priority: str, waited_s: float) -> None:
        """Count a call that waited for its turn."""
        self._tallies.histogram(QUEUE_WAIT.name, (model, priority), QUEUE_WAIT.buckets).observe(waited_s)

    def count_rejection(self, model: str, reason: str) -> None:
        """Count a call that was not let through."""
        self._tallies.counter(REJECTIONS.name, (model, reason)).value += 1

    def watch(self, spec: Spec, read: GaugeReader) -> None:
        """Ask `read` for the values of a gauge whenever metrics are asked for."""
        self._watched[spec] = read

    def publish(self) -> None:
        """Leave the counts where the other workers find them."""
        if self._folder is not None:
            self._tallies.gauges = self._parts()
            self._folder.publish(self._tallies)
            self._tallies.gauges = {}

    def render(self) -> bytes:
        """Write all metrics in Prometheus' text format, those of the other workers added."""
        return generate_latest(self._registry)

    def families(self) -> Iterator[Metric]:
        """Turn the tallies, and the state of the replicas, into Prometheus' metrics."""
        tallies = Tallies()
        tallies.add(self._tallies)
        for other in () if self._folder is None else self._folder.others():
            tallies.add(other)
        for spec in ALL:
            if spec.kind == "counter":
                yield _counter(spec, tallies)
            elif spec.kind == "histogram":
                yield _histogram(spec, tallies)
        yield from self._gauges()
        yield from self._engine_gauges()
        yield from self._watched_gauges(tallies)

    def _gauges(self) -> Iterator[Metric]:
        up, state, budget, in_flight = map(_gauge, (REPLICA_UP, REPLICA_STATE, RETRY_BUDGET, IN_FLIGHT))
        for pool in self._pools.values():
            budget.add_metric((pool.name,), pool.retries.tokens)
            for replica in pool.replicas:
                labels = (pool.name, replica.name)
                up.add_metric(labels, float(replica.is_ready))
                in_flight.add_metric(labels, replica.load()[1])
                for name in REPLICA_STATES:
                    state.add_metric((*labels, name), float(replica.state == name))
        yield from (up, state, budget, in_flight)
        tasks = _gauge(LOOP_TASKS)
        tasks.add_metric((), count_tasks())
        yield tasks

    def _engine_gauges(self) -> Iterator[Metric]:
        running, waiting, usage = (
            GaugeMetricFamily(spec.name, spec.text, labels=spec.labels)
            for spec in (RUNNING, WAITING, KV_CACHE_USAGE)
        )
        for pool in self._pools.values():
            for replica in pool.replicas:
                if (stats := replica.stats) is not None:
                    labels = (pool.name, replica.name)
                    running.add_metric(labels, stats.running)
                    waiting.add_metric(labels, stats.waiting)
                    usage.add_metric(labels, stats.kv_cache_usage)
        yield from (running, waiting, usage)

    def _watched_gauges(self, others: Tallies) -> Iterator[Metric]:
        for spec, read in self._watched.items():
            family = _gauge(spec)
            values = {tuple(labels): value for labels, value in read()}
            if spec.is_sum:
                for labels, value in others.gauges.get(spec.name, {}).items():
                    values[labels] = values.get(labels, 0.0) + value
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family

    def _parts(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Give this process's parts of the gauges that are sums over all workers."""
        return {
            spec.name: {tuple(labels): value for labels, value in read()}
            for spec, read in self._watched.items()
            if spec.is_sum
        }


class _Collector(Collector):
    """Asks for the metrics when Prometheus does."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Tell nothing beforehand: the registry then does not look for clashes of names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Give the metrics of this moment."""
        return self._metrics.families()


def _gauge(spec: Spec) -> GaugeMetricFamily:
    return GaugeMetricFamily(spec.name, spec.text, labels=spec.labels)


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
