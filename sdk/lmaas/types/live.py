"""What a gateway does now, and what is wrong with it. Times are seconds, rates a second."""

from __future__ import annotations

from pydantic import Field

from lmaas.types._base import ReplyModel, WireModel


class LiveSpread(WireModel):
    """How long something took, of `count` observations; 0 where there are none."""

    count: int = 0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0


class LiveFlow(WireModel):
    """What came to an end in the window: calls by class of their status in `codes`, and tokens."""

    calls: int = 0
    calls_per_s: float = 0.0
    codes: dict[str, int] = Field(default_factory=dict)
    interrupted: int = 0
    error_rate: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_per_s: float = 0.0
    completion_tokens_per_s: float = 0.0
    ttft: LiveSpread = Field(default_factory=LiveSpread)
    inter_token: LiveSpread = Field(default_factory=LiveSpread)
    duration: LiveSpread = Field(default_factory=LiveSpread)


class LiveEngine(WireModel):
    """What a replica's vLLM last said of itself; `kv_cache_usage` is from 0 to 1."""

    running: int = 0
    waiting: int = 0
    kv_cache_usage: float = 0.0


class LiveReplica(WireModel):
    """A replica now, and what ended at it in the window."""

    name: str
    state: str
    problem: str = ""
    in_flight: int = 0
    flow: LiveFlow = Field(default_factory=LiveFlow)
    engine: LiveEngine | None = None


class LiveModel(WireModel):
    """A model now, and what ended of its calls in the window."""

    name: str
    state: str
    in_flight: int = 0
    waiting: int = 0
    capacity: int = 0
    rejections: int = 0
    queue_wait: LiveSpread = Field(default_factory=LiveSpread)
    flow: LiveFlow = Field(default_factory=LiveFlow)
    replicas: list[LiveReplica] = Field(default_factory=list)


class LiveSecond(WireModel):
    """What ended in one second, and what was under way at its end."""

    at: int = 0
    calls: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    ttft_p50_s: float = 0.0
    ttft_p95_s: float = 0.0
    inter_token_p50_s: float = 0.0
    in_flight: int = 0
    waiting: int = 0


class LiveView(ReplyModel):
    """A gateway at the second `at`, over all its workers; of `window_s`, `covered_s` are known."""

    at: int
    window_s: int
    covered_s: int = 0
    total: LiveFlow = Field(default_factory=LiveFlow)
    in_flight: int = 0
    waiting: int = 0
    last: LiveSecond = Field(default_factory=LiveSecond)
    models: list[LiveModel] = Field(default_factory=list)


class Alert(ReplyModel):
    """Something that is or was wrong: `state` is pending, firing or resolved, `severity` page or ticket."""

    id: str
    object: str = "alert"
    name: str
    state: str
    severity: str
    model: str
    replica: str | None = None
    slo: str | None = None
    summary: str
    value: float = 0.0
    started_at: int
    fired_at: int | None = None
    resolved_at: int | None = None
    silenced_until: int | None = None
    silence_comment: str | None = None
