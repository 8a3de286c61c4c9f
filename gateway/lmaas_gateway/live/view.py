"""What the gateway does now, as dashboards, terminals and alerts see it. Times in seconds, rates a second."""

from __future__ import annotations

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """How long something took, from a histogram: percentiles are interpolated inside a bucket.

    Attributes:
        count: Observations.
        mean_s: Their mean; 0 if there are none.
        counts: Observations of each bucket, whose upper bounds stand in `LiveView.bounds`; the last has none.
    """

    count: int = 0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    counts: tuple[int, ...] = ()


class Flow(msgspec.Struct, frozen=True):
    """What came to an end in the window.

    Attributes:
        calls: Calls that ended, however.
        calls_per_s: The same a second.
        codes: Calls by class of status: `2xx`, `4xx` (but 429 and 499), `429` (refused for now), `499`
            (client left) and `5xx`.
        interrupted: Calls whose reply broke off after its first byte; `2xx` by their code.
        error_rate: Share of calls that failed by no fault of the client: `5xx` and interrupted ones.
        completion_tokens_per_s: Generated tokens a second, of calls that ended.
        ttft: From a call's arrival to its stream's first event; streams only.
        inter_token: Mean time between the tokens of a whole stream after its first.
        duration: From a call's arrival to the end of its reply.
    """

    calls: int = 0
    calls_per_s: float = 0.0
    codes: dict[str, int] = {}
    interrupted: int = 0
    error_rate: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_per_s: float = 0.0
    completion_tokens_per_s: float = 0.0
    ttft: Spread = Spread()
    inter_token: Spread = Spread()
    duration: Spread = Spread()


class LiveEngine(msgspec.Struct, frozen=True):
    """What a replica's vLLM last said of itself.

    Attributes:
        running: Requests in its batch, whoever sent them.
        waiting: Requests that wait for room in it.
        kv_cache_usage: How much of its KV cache is in use, from 0 to 1.
    """

    running: int
    waiting: int
    kv_cache_usage: float


class LiveGpu(msgspec.Struct, frozen=True):
    """A GPU that a replica is on; what the card does not tell is None.

    Attributes:
        index: Its number on its machine.
        utilization: Share of time in which it computed, for whomever, from 0 to 1.
        power_w: What it draws, in watts.
        memory_bytes: What the replica holds of its memory.
    """

    index: str
    utilization: float | None = None
    power_w: float | None = None
    memory_bytes: float | None = None


class LiveHost(msgspec.Struct, frozen=True):
    """What a replica that was launched here takes of this machine.

    Attributes:
        cpu_cores: CPU time a second in the window.
        memory_bytes: Resident memory of its processes.
        gpus: Those that it is on.
    """

    cpu_cores: float
    memory_bytes: float
    gpus: tuple[LiveGpu, ...] = ()


class LiveReplica(msgspec.Struct, frozen=True):
    """A replica now, and what ended at it in the window.

    Attributes:
        state: `ready`, `draining` (finishes what it has), `down` (does not answer), `suspect` (its health
            check is late), `ejected` (its calls fail) or `cooling` (asked for a pause).
        problem: Why it is down, for people; empty if it is not.
        in_flight: Calls that it works on for this gateway, all workers together.
        engine: None where it does not tell.
        host: None where it was not launched here.
    """

    name: str
    state: str
    problem: str
    in_flight: int
    outstanding_tokens: int
    flow: Flow
    engine: LiveEngine | None = None
    host: LiveHost | None = None


class LiveModel(msgspec.Struct, frozen=True):
    """A model now, and what ended of its calls in the window.

    Attributes:
        state: `starting`, `ready`, `degraded` (some replicas do not serve), `unavailable`, `failed` or
            `stopped`.
        in_flight: Calls that its replicas work on.
        waiting: Calls that wait in the gateway's queue for a place.
        capacity: Calls that its replicas take at once; 0 until the first one has come.
        queue_wait: How long calls waited that did wait and got through.
        rejections: Calls that the queue turned away.
    """

    name: str
    kind: str
    state: str
    in_flight: int
    waiting: int
    capacity: int
    rejections: int
    queue_wait: Spread
    flow: Flow
    replicas: tuple[LiveReplica, ...]


class Second(msgspec.Struct, frozen=True):
    """One second of the window, for charts. Calls, tokens and times are of calls that ended in it.

    Attributes:
        at: Its end, in Unix seconds.
        errors: `5xx` and interrupted calls.
        in_flight: Calls at replicas at its end.
        waiting: Calls in the queue at its end.
    """

    at: int
    calls: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    ttft_p50_s: float
    ttft_p95_s: float
    inter_token_p50_s: float
    in_flight: int
    waiting: int


class LiveView(msgspec.Struct, frozen=True):
    """The gateway of this second, over all its workers.

    Attributes:
        at: The end of the last second that it tells of, in Unix seconds.
        window_s: How far back it looks.
        covered_s: How much of that is known: less shortly after the start.
        bounds: Upper bounds of the buckets of `ttft`, `inter_token`, `duration` and `queue_wait`, in seconds.
        total: All models, and calls that named none.
        models: By name.
        seconds: The seconds of the window, oldest first; empty if they were not asked for.
    """

    at: int
    window_s: int
    covered_s: int
    bounds: dict[str, tuple[float, ...]]
    total: Flow
    in_flight: int
    waiting: int
    models: tuple[LiveModel, ...]
    last: Second
    seconds: tuple[Second, ...] = ()
