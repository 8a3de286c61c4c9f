"""Replies of `/admin/v1/`. Times are Unix seconds, money is in billionths of a US dollar."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import Field

from lmaas.types._base import ReplyModel, WireModel

ItemT = TypeVar("ItemT")


class AdminList(ReplyModel, Generic[ItemT]):
    """A page of a listing, as it comes over the wire."""

    object: str = "list"
    data: list[ItemT]
    has_more: bool = False
    last_id: str | None = None


class Actor(ReplyModel):
    """Who asks, and as what: `kind` is operator, person, service or key."""

    id: str
    object: str = "actor"
    kind: str
    role: str
    organization: str | None = None
    project: str | None = None


class Organization(ReplyModel):
    """Whose projects, keys and books are kept apart from all others'."""

    id: str
    object: str = "organization"
    name: str
    created_at: int
    archived_at: int | None = None


class Project(ReplyModel):
    """What keys belong to, and what is billed together."""

    id: str
    object: str = "project"
    organization: str
    name: str
    stores_content: bool = False
    created_at: int
    archived_at: int | None = None


class Member(ReplyModel):
    """A person or a service account; `role` is owner, admin, developer or viewer."""

    id: str
    object: str = "member"
    organization: str
    kind: str
    name: str
    role: str
    subject: str | None = None
    project: str | None = None
    created_at: int
    disabled_at: int | None = None


class KeyScopes(WireModel):
    """What a key may be used for; an empty list leaves that open. `admin` is a role on `/admin/v1/`."""

    models: list[str] = Field(default_factory=list)
    routes: list[str] = Field(default_factory=list)
    addresses: list[str] = Field(default_factory=list)
    admin: str | None = None


class ApiKey(ReplyModel):
    """A key without its secret; `state` is active, rotated, expired or revoked."""

    id: str
    object: str = "key"
    organization: str
    project: str
    member: str | None = None
    name: str
    last4: str
    state: str
    scopes: KeyScopes
    weight: float = 1.0
    priority: str = "normal"
    created_at: int
    created_by: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None
    rotated_to: str | None = None
    last_used_at: int | None = None


class IssuedApiKey(ApiKey):
    """A new key; its `secret` is shown this once, and not in `repr`."""

    secret: str = Field(repr=False)


class UsageLimit(ReplyModel):
    """How much a subject may use of `metric` in each `period`."""

    id: str
    object: str = "limit"
    organization: str
    subject_kind: str
    subject: str
    model: str
    metric: str
    period: str
    amount: int


class Deleted(ReplyModel):
    """That something is not there any more."""

    id: str
    object: str
    deleted: bool


class ModelPrice(WireModel):
    """What a model costs; `id` is its name, and a GPU-second is paid for each of `gpus`."""

    id: str
    object: str = "price"
    input_per_million_nanos: int = 0
    cached_input_per_million_nanos: int = 0
    output_per_million_nanos: int = 0
    gpu_second_nanos: int = 0
    gpus: int = 1


class UsageTotal(WireModel):
    """What one group used and cost; what was not grouped by is None.

    Attributes:
        busy_seconds: How long replicas worked for it, its share where several calls ran at once.
        utilization: Which part of the time a model's replicas were busy, for operators who group by `model`.
        machine_cost_nanos: What they cost in that time, busy or idle, in nano-dollars; likewise.
    """

    object: str = "usage"
    organization: str | None = None
    project: str | None = None
    key: str | None = None
    model: str | None = None
    day: str | None = None
    calls: int
    failed_calls: int = 0
    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int
    reasoning_tokens: int = 0
    busy_seconds: float = 0.0
    cost_nanos: int
    utilization: float | None = None
    machine_cost_nanos: int | None = None


class AuditEntry(WireModel):
    """One row of the audit trail."""

    id: str
    object: str = "audit_entry"
    at: int
    organization: str | None = None
    actor: str
    action: str
    object_kind: str
    object_id: str
    detail: dict[str, Any] = Field(default_factory=dict)
    mac: str = ""


class AuditVerdict(ReplyModel):
    """Whether the audit trail is whole; `problem` says what is wrong where it is not."""

    object: str = "audit_verdict"
    is_intact: bool
    rows: int
    checkpoints: int
    problem: str | None = None


class StoredContent(ReplyModel):
    """What was asked and answered in one call; listings leave both out."""

    id: str
    object: str = "content"
    project: str
    at: int
    request: Any = None
    reply: Any = None


class ModelQuality(WireModel):
    """What was seen, and said, of a model's replies of a day.

    `checked` of them were looked at; `rates` are each flaw by the replies that could have had it. `opinions`
    are calls that somebody judged.
    """

    object: str = "quality"
    day: str
    model: str
    checked: int = 0
    truncated: int = 0
    refused: int = 0
    empty: int = 0
    repeating: int = 0
    with_schema: int = 0
    schema_failed: int = 0
    with_language: int = 0
    language_drift: int = 0
    rates: dict[str, float | None] = Field(default_factory=dict)
    opinions: int = 0
    thumbs_up: int = 0
    thumbs_down: int = 0
    thumbs_up_rate: float | None = None
    scores: int = 0
    mean_score: float | None = None
    labels: dict[str, int] = Field(default_factory=dict)


class LogLines(ReplyModel):
    """The last log lines that were wanted, the oldest first. `has_more`: older ones may be wanted too."""

    object: str = "list"
    data: list[dict[str, Any]]
    has_more: bool


class Erasure(ReplyModel):
    """What was destroyed of an organization."""

    id: str
    object: str = "erased"
    contents: int
    data_keys: int
    ledger_rows: int
    feedback: int = 0
