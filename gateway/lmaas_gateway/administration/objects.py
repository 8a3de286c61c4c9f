"""What administrators are shown. Nothing here has room for a secret but `IssuedKey`, which is sent once."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from lmaas_gateway.administration.fields import Kind, Metric, Period, Priority, Role, SubjectKind
from lmaas_gateway.administration.requests import Scopes
from lmaas_gateway.flaws import FlawCounts

T = TypeVar("T")

KnownFrom: TypeAlias = Literal["record", "ledger"]


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Page(_Shown, Generic[T], frozen=True, kw_only=True):
    """A part of a listing. The part after it begins `?after=` its `last_id`."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool = False
    last_id: str | None = None


class Me(_Shown, frozen=True, kw_only=True):
    """Who asks, and as what.

    Attributes:
        kind: `operator` stands above organizations; the others are in one.
    """

    object: Literal["actor"] = "actor"
    id: str
    kind: Literal["operator", "person", "service", "key"]
    role: Role
    organization: str | None = None
    project: str | None = None


class Organization(_Shown, frozen=True, kw_only=True):
    """Whose projects, keys and books are kept apart from all others'."""

    id: str
    object: Literal["organization"] = "organization"
    name: str
    created_at: int
    archived_at: int | None = None


class Project(_Shown, frozen=True, kw_only=True):
    """What keys belong to, and what is billed together."""

    id: str
    object: Literal["project"] = "project"
    organization: str
    name: str
    stores_content: bool
    created_at: int
    archived_at: int | None = None


class Member(_Shown, frozen=True, kw_only=True):
    """A person or a service account."""

    id: str
    object: Literal["member"] = "member"
    organization: str
    kind: Kind
    name: str
    role: Role
    subject: str | None = None
    project: str | None = None
    created_at: int
    disabled_at: int | None = None


class Key(_Shown, frozen=True, kw_only=True):
    """A key, without its secret.

    Attributes:
        last4: How its secret ends.
        state: `active`, `rotated` (valid until `expires_at`, another took its place), `expired` or `revoked`.
    """

    id: str
    object: Literal["key"] = "key"
    organization: str
    project: str
    member: str | None = None
    name: str
    last4: str
    state: Literal["active", "rotated", "expired", "revoked"]
    scopes: Scopes
    weight: float
    priority: Priority
    created_at: int
    created_by: str
    expires_at: int | None = None
    revoked_at: int | None = None
    rotated_to: str | None = None
    last_used_at: int | None = None


class IssuedKey(Key, frozen=True, kw_only=True):
    """A new key with its secret, which nobody can show again."""

    secret: str


class Limit(_Shown, frozen=True, kw_only=True):
    """How much a subject may use."""

    id: str
    object: Literal["limit"] = "limit"
    organization: str
    subject_kind: SubjectKind
    subject: str
    model: str
    metric: Metric
    period: Period
    amount: int


class Removed(_Shown, frozen=True, kw_only=True):
    """That something is not there any more."""

    id: str
    object: str
    deleted: Literal[True] = True


class Price(_Shown, frozen=True, kw_only=True):
    """What a model costs, in billionths of a US dollar. All is zero where no price is set.

    Attributes:
        id: The model's name.
        gpus: On how many GPUs one replica runs, each of which costs `gpu_second_nanos`.
    """

    object: Literal["price"] = "price"
    id: str
    input_per_million_nanos: int
    cached_input_per_million_nanos: int
    output_per_million_nanos: int
    gpu_second_nanos: int
    gpus: int


class Usage(_Shown, frozen=True, kw_only=True):
    """What one group used and cost. Fields that were not grouped by are null.

    Attributes:
        busy_seconds: How long replicas worked for it; where several calls ran at once, each has its share.
        utilization: Which part of the time a model's replicas were busy; only where an operator groups by
            `model` alone, and its price has a `gpu_second`.
        machine_cost_nanos: What those replicas cost in that time, busy or idle; likewise.
    """

    object: Literal["usage"] = "usage"
    organization: str | None = None
    project: str | None = None
    key: str | None = None
    model: str | None = None
    day: str | None = None
    calls: int
    failed_calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    busy_seconds: float
    cost_nanos: int
    utilization: float | None = None
    machine_cost_nanos: int | None = None


class Quality(_Shown, FlawCounts, frozen=True, kw_only=True):
    """What was seen, and said, of a model's replies of a day.

    Attributes:
        checked: A sample: so many replies were looked at.
        truncated: Those of them whose tokens ran out.
        refused: Those that decline what was asked.
        empty: Those with neither text nor a function's call.
        repeating: Those that go round in circles.
        with_schema: Those that had to be JSON.
        schema_failed: Those of `with_schema` that are not what their schema asks for.
        with_language: Those whose language shows, as that of the prompt does.
        language_drift: Those of `with_language` in another language than their prompt.
        rates: Each flaw by the replies that could have had it; null where there was none.
        opinions: Calls of the day that somebody judged, once for each of them.
        thumbs_up_rate: Of those with a thumb; null where there is none.
        mean_score: Of those with a score.
        labels: How often each was given, the most frequent twenty.
    """

    object: Literal["quality"] = "quality"
    day: str
    model: str
    rates: dict[str, float | None] = {}
    opinions: int = 0
    thumbs_up: int = 0
    thumbs_down: int = 0
    thumbs_up_rate: float | None = None
    scores: int = 0
    mean_score: float | None = None
    labels: dict[str, int] = {}


class AuditEntry(_Shown, frozen=True, kw_only=True):
    """One row of the audit trail."""

    id: str
    object: Literal["audit_entry"] = "audit_entry"
    at: int
    organization: str | None = None
    actor: str
    action: str
    object_kind: str
    object_id: str
    detail: dict[str, Any]
    mac: str


class AuditVerdict(_Shown, frozen=True, kw_only=True):
    """Whether the audit trail is whole.

    Attributes:
        problem: What is wrong, at the first row where something is; none if nothing is.
    """

    object: Literal["audit_verdict"] = "audit_verdict"
    is_intact: bool
    rows: int
    checkpoints: int
    problem: str | None = None


class Content(_Shown, frozen=True, kw_only=True):
    """What was asked and answered in one call; readings are audited."""

    id: str
    object: Literal["content"] = "content"
    project: str
    at: int
    request: Any = None
    reply: Any = None


class Call(_Shown, frozen=True, kw_only=True):
    """One call, as short as lists show it. Never what was asked or answered.

    Attributes:
        id: Its request id, which its client may have chosen, and used more than once.
        at: When it came, in Unix seconds.
        organization: Null for keys of the configuration, as is `project`.
        model: The one that answered, else the one that was asked for.
        outcome: `ok`, `error`, `interrupted` (a stream that broke off), `limited` (a stream that its limits
            ended), `client_gone`, or `gateway_lost` (the gateway died under it).
        status: What the client was told; 499 if it left before.
        code: The error's; docs/errors.md says what each means.
        param: The field that the gateway refused.
        source: Where a reply came from that no replica made: `hit`, `coalesced` or `replayed`; `miss` where a
            store was asked in vain.
        queued_s: How long it waited for its turn.
        first_byte_s: Until its reply began; null if it had none.
        attempts: How many replicas were asked; null where that is not known any more.
    """

    id: str
    object: Literal["call"] = "call"
    at: float
    organization: str | None = None
    project: str | None = None
    key: str
    member: str | None = None
    model: str
    replica: str | None = None
    route: str
    is_stream: bool
    outcome: str
    status: int
    code: str | None = None
    param: str | None = None
    source: str | None = None
    duration_s: float
    queued_s: float
    first_byte_s: float | None = None
    attempts: int | None = None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    is_estimated: bool
    cost_nanos: int


class CallStep(_Shown, frozen=True, kw_only=True):
    """Something that happened to a call.

    Attributes:
        at_s: When it began, in seconds since the call came; null where that was not noted.
        duration_s: How long it took; null where it took no time of its own.
        source: Who measured it: the `gateway`, the `engine` itself, or nobody (`derived` from other times).
        text: What happened, and why.
    """

    name: Literal[
        "received",
        "policy",
        "masking",
        "limits",
        "store",
        "fallback",
        "queue",
        "failure",
        "route",
        "engine_queue",
        "prefill",
        "decode",
        "generation",
        "end",
        "bill",
    ]
    at_s: float | None = None
    duration_s: float | None = None
    source: Literal["gateway", "engine", "derived"] = "gateway"
    text: str


class Candidate(_Shown, frozen=True, kw_only=True):
    """A replica that could have taken a call.

    Attributes:
        load: What it had outstanding, in tokens by its weight; null where nobody looked.
        prefix_worth: What it was worth for having read some of the prompt, in the same measure; likewise.
    """

    replica: str
    is_chosen: bool
    load: float | None = None
    prefix_worth: float | None = None


class FailedAttempt(_Shown, frozen=True, kw_only=True):
    """An attempt at a replica that failed before a byte of its reply reached the client.

    Attributes:
        reason: `connect`, `busy`, `closed`, `deadline`, `protocol`, `reply` or `status`.
        status: The replica's, where that was the reason.
    """

    model: str
    replica: str
    reason: str
    status: int | None = None
    duration_s: float


class FailedModel(_Shown, frozen=True, kw_only=True):
    """A model that could not serve a call, so that the next one of its plan was asked."""

    model: str
    code: str


class LimitLeft(_Shown, frozen=True, kw_only=True):
    """What was left of the tightest limit on `requests` or `tokens`, this call's share taken off."""

    metric: str
    limit: int
    remaining: int
    reset: str | None = None


class EngineTimes(_Shown, frozen=True, kw_only=True):
    """Where a call's time in the engine went.

    Attributes:
        source: `engine` where vLLM said so itself, else `derived` from the reply's first and last byte.
        queue_s: Waiting to be scheduled; null where only the engine could tell.
        prefill_s: Reading the prompt, up to the first token; of a derived one the engine's queue is part.
        decode_s: From the first token to the last.
    """

    source: Literal["engine", "derived"]
    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None


class CallExplanation(Call, frozen=True, kw_only=True):
    """What happened to one call, and why.

    Attributes:
        known_from: `record`, or `ledger` where the record has made room for newer ones: then there is less.
        summary: Where most of its time went, in a sentence.
        steps: In their order.
        policies: What was changed of it on its way.
        routing: The policy that chose its replica; null where there was nothing to choose.
        price: The model's of that moment; null if it had none.
    """

    known_from: KnownFrom
    summary: str
    steps: list[CallStep]
    policies: list[str]
    routing: str | None = None
    candidates: list[Candidate]
    failures: list[FailedAttempt]
    fallbacks: list[FailedModel]
    limits: list[LimitLeft]
    engine: EngineTimes | None = None
    price: dict[str, int] | None = None


class Erased(_Shown, frozen=True, kw_only=True):
    """What was destroyed."""

    id: str
    object: Literal["erased"] = "erased"
    contents: int
    data_keys: int
    ledger_rows: int
    feedback: int
