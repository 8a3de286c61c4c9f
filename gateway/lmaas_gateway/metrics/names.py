"""Every metric of the gateway, by name and label; docs/metrics.md is made of this file.

Labels are bounded: configured model names, their replicas, public routes and status codes; never a key, a
user or anything else that a client chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_QUEUE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_FIRST_TOKEN_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 60, 120)
_TOKEN_BUCKETS_S = (
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.4, 0.8, 2
)  # fmt: skip
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


CALLS = Spec(
    "counter",
    "lmaas_requests",
    ("model", "replica", "route", "code"),
    "Calls that ended; 499 are those whose clients left.",
)
INTERRUPTED = Spec(
    "counter",
    "lmaas_requests_interrupted",
    ("model", "replica"),
    "Calls whose reply broke off, or ended with an error, after its first byte; their code is 200.",
)
DURATION = Spec(
    "histogram",
    "lmaas_request_duration_seconds",
    ("model", "replica", "route"),
    "From a call's arrival to the end of its reply.",
    _DURATION_BUCKETS_S,
)
FIRST_TOKEN = Spec(
    "histogram",
    "lmaas_time_to_first_token_seconds",
    ("model", "replica"),
    "From a call's arrival to the first event of the stream that a replica answered with.",
    _FIRST_TOKEN_BUCKETS_S,
)
INTER_TOKEN = Spec(
    "histogram",
    "lmaas_inter_token_latency_seconds",
    ("model", "replica"),
    "Mean time between the tokens of a whole stream after its first one; one observation a stream.",
    _TOKEN_BUCKETS_S,
)
PROMPT_TOKENS = Spec("counter", "lmaas_prompt_tokens", ("model", "replica"), "Prompt tokens.")
CACHED_TOKENS = Spec(
    "counter",
    "lmaas_cached_prompt_tokens",
    ("model", "replica"),
    "Prompt tokens that a replica found in its prefix cache.",
)
COMPLETION_TOKENS = Spec("counter", "lmaas_completion_tokens", ("model", "replica"), "Generated tokens.")
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
    "suspect (its probe is late), ejected (its calls fail) or cooling (it asked for a pause).",
)
REPLICA_SILENT = Spec(
    "gauge",
    "lmaas_replica_silent",
    ("model", "replica"),
    "1 while the replica lets its health check wait: it is suspect, and later down, until it answers.",
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
PREFIX_QUERIES = Spec(
    "counter",
    "lmaas_replica_prefix_cache_queries",
    ("model", "replica"),
    "Prompt tokens that the replica looked up in its prefix cache, whoever sent them.",
)
PREFIX_HITS = Spec(
    "counter",
    "lmaas_replica_prefix_cache_hits",
    ("model", "replica"),
    "Those of them that it found.",
)
PREEMPTIONS = Spec(
    "counter",
    "lmaas_replica_preemptions",
    ("model", "replica"),
    "Requests that the replica put aside, to compute them anew, because its KV cache was full.",
)
REPLICA_CPU = Spec(
    "counter",
    "lmaas_replica_cpu_seconds",
    ("model", "replica"),
    "CPU time of the processes of a replica that was launched here.",
)
REPLICA_MEMORY = Spec(
    "gauge",
    "lmaas_replica_memory_bytes",
    ("model", "replica"),
    "Resident memory of the processes of a replica that was launched here; what they share counts for each.",
    is_sum=True,
)
REPLICA_GPU_USE = Spec(
    "gauge",
    "lmaas_replica_gpu_utilization_ratio",
    ("model", "replica", "gpu"),
    "Share of time in which a GPU that the replica is on computed, for whomever, from 0 to 1, as NVIDIA's "
    "tool says.",
    is_sum=True,
)
REPLICA_GPU_POWER = Spec(
    "gauge",
    "lmaas_replica_gpu_power_watts",
    ("model", "replica", "gpu"),
    "What a GPU that the replica is on draws.",
    is_sum=True,
)
REPLICA_GPU_MEMORY = Spec(
    "gauge",
    "lmaas_replica_gpu_memory_bytes",
    ("model", "replica", "gpu"),
    "Memory of a GPU that the replica's processes hold; in a container that hides them, all that is in use.",
    is_sum=True,
)
WORKERS = Spec("gauge", "lmaas_workers", (), "Gateway processes that serve.", is_sum=True)
GATEWAY_CPU = Spec(
    "counter", "lmaas_gateway_cpu_seconds", (), "CPU time of all gateway processes that serve."
)
GATEWAY_MEMORY = Spec(
    "gauge",
    "lmaas_gateway_memory_bytes",
    (),
    "Resident memory of all gateway processes that serve.",
    is_sum=True,
)
LOOP_LAG = Spec(
    "histogram",
    "lmaas_event_loop_lag_seconds",
    (),
    "How late a timer of the event loop came, four times a second: what blocks the loop delays every call.",
    _LAG_BUCKETS_S,
)
LOOP_TASKS = Spec(
    "gauge", "lmaas_event_loop_tasks", (), "Tasks of the event loop of the process that answers."
)

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
    "gauge", "lmaas_pool_capacity", ("model",), "Sequences that the model's available replicas take at once."
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

QUALITY_CHECKED = Spec(
    "counter",
    "lmaas_quality_checked",
    ("model", "flag"),
    "Replies that were looked at for a flaw: truncated, refused, empty, repeating, schema_failed (those that "
    "had to be JSON) or language_drift (those whose language shows).",
)
QUALITY_FLAGS = Spec(
    "counter",
    "lmaas_quality_flagged",
    ("model", "flag"),
    "Those of them that have it: a rate is the quotient.",
)
CANARY_OK = Spec(
    "gauge",
    "lmaas_canary_ok",
    ("canary", "model"),
    "1 if the last reply to a canary prompt was as expected, 0 if not; absent until there is one.",
    is_sum=True,
)
CANARY_RUNS = Spec(
    "counter",
    "lmaas_canary_runs",
    ("canary", "outcome"),
    "Canary prompts that were sent: ok, unexpected (its reply) or failed (there was none).",
)
FEEDBACK = Spec(
    "counter",
    "lmaas_feedback",
    ("model", "thumbs"),
    "What callers said of replies: up, down, or none where it was a score or a label alone; said again, it "
    "counts again.",
)

SLO_EVENTS = Spec(
    "counter",
    "lmaas_slo_events",
    ("model", "slo"),
    "What an objective is counted by: calls, whole streams, or seconds of availability.",
)
SLO_BAD_EVENTS = Spec(
    "counter", "lmaas_slo_bad_events", ("model", "slo"), "Those of them that were not as promised."
)
SLO_OBJECTIVE = Spec(
    "gauge",
    "lmaas_slo_objective_ratio",
    ("model", "slo"),
    "Which share of the events must be as promised.",
    is_sum=True,
)
SLO_BURN_RATE = Spec(
    "gauge",
    "lmaas_slo_burn_rate",
    ("model", "slo", "window"),
    "How many times too fast an error budget is used up, over the last 1h, 6h and 3d.",
    is_sum=True,
)
SLO_BUDGET = Spec(
    "gauge",
    "lmaas_slo_budget_remaining_ratio",
    ("model", "slo"),
    "What is left of an error budget, from 1 down; below 0 the objective is missed.",
    is_sum=True,
)
ALERTS = Spec(
    "gauge",
    "lmaas_alerts",
    ("alert", "model", "severity", "state"),
    "Alerts that are pending or firing (docs/alerts.md).",
    is_sum=True,
)
WEBHOOK_ATTEMPTS = Spec(
    "counter",
    "lmaas_webhook_attempts",
    ("webhook", "outcome"),
    "Attempts to tell a webhook of an alert: delivered or failed; dropped are messages given up for good.",
)
WEBHOOK_WAITING = Spec(
    "gauge",
    "lmaas_webhook_waiting_messages",
    ("webhook",),
    "Messages that a webhook has not taken yet.",
    is_sum=True,
)
ENGINE_RESTARTS = Spec(
    "counter",
    "lmaas_engine_restarts",
    ("model", "replica"),
    "Times that a replica's engine was found to be another process than before.",
)

ALL = tuple(one for one in tuple(vars().values()) if isinstance(one, Spec))
"""All of them, in the order in which they stand here."""
