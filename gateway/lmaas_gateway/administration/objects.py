"""What administrators are shown. Nothing here has room for a secret but `IssuedKey`, which is sent once."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec

from lmaas_gateway.administration.fields import Kind, Metric, Period, Priority, Role, SubjectKind
from lmaas_gateway.administration.requests import Scopes

T = TypeVar("T")


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


class Erased(_Shown, frozen=True, kw_only=True):
    """What was destroyed."""

    id: str
    object: Literal["erased"] = "erased"
    contents: int
    data_keys: int
    ledger_rows: int
    feedback: int
