"""What repositories give and take: one record a row, named as its columns. None ever changes."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from lmaas_gateway.flaws import FlawCounts

T = TypeVar("T")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A row. Times are microseconds since 1970, money is nano-US-dollars."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a listing.

    Attributes:
        has_more: Whether more follow on its last item.
    """

    items: tuple[T, ...]
    has_more: bool


class Organization(Record, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    name: str
    created_at: int
    archived_at: int | None = None


class Project(Record, frozen=True, kw_only=True):
    """What keys belong to."""

    id: str
    organization_id: str
    name: str
    stores_content: bool = False
    created_at: int
    archived_at: int | None = None


class Member(Record, frozen=True, kw_only=True):
    """A person or a service account.

    Attributes:
        subject: Issuer, `|` and subject of the tokens that a person signs in with.
        project_id: The only project that it may do anything in; None for all.
    """

    id: str
    organization_id: str
    kind: str
    name: str
    subject: str | None = None
    role: str
    project_id: str | None = None
    created_at: int
    disabled_at: int | None = None


class Key(Record, frozen=True, kw_only=True):
    """A key, without its secret.

    Attributes:
        mac: Of the secret, by the pepper of `pepper_version`.
        scopes: JSON.
        rotated_to: The key that took its place.
    """

    id: str
    project_id: str
    organization_id: str
    member_id: str | None = None
    name: str
    mac: bytes
    pepper_version: int
    last4: str
    scopes: str = "{}"
    weight: float = 1.0
    priority: str = "normal"
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    rotated_to: str | None = None
    last_used_at: int | None = None
    created_by: str = ""


class Limit(Record, frozen=True, kw_only=True):
    """How much a subject may use in a period."""

    id: str
    organization_id: str
    subject_kind: str
    subject_id: str
    model_glob: str = "*"
    metric: str
    period: str
    amount: int


class LedgerEntry(Record, frozen=True):
    """One call in the books.

    Attributes:
        id: Made by the gateway, so that the same call is never booked twice.
        request_id: What the client calls it, perhaps more than once.
        is_estimated: The tokens were counted here; the replica did not say.
        busy_ns: The call's share of its replica's time.
        price: JSON of the prices that `cost_nanos` was made with.
    """

    id: str
    request_id: str
    at: int
    organization_id: str
    project_id: str
    key_id: str
    member_id: str = ""
    model: str = ""
    replica: str = ""
    route: str = ""
    is_stream: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimated: bool = False
    first_byte_us: int = 0
    duration_us: int = 0
    queued_us: int = 0
    busy_ns: int = 0
    outcome: str = "ok"
    status: int = 200
    code: str = ""
    source: str = ""
    cost_nanos: int = 0
    price: str = "{}"


class Usage(Record, frozen=True, kw_only=True):
    """What a group of calls used and cost. What was not grouped by is None.

    Attributes:
        day: Its number since 1970, in UTC.
    """

    organization_id: str | None = None
    project_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    day: int | None = None
    calls: int
    failed_calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    duration_us: int
    busy_ns: int
    cost_nanos: int


class DataKey(Record, frozen=True, kw_only=True):
    """A tenant's key for its contents, wrapped by a master key; empty once destroyed.

    Attributes:
        messages: How much was sealed with it.
    """

    id: str
    organization_id: str
    master_version: int
    wrapped: bytes
    messages: int = 0
    created_at: int
    destroyed_at: int | None = None


class Content(Record, frozen=True, kw_only=True):
    """What was asked and answered in one call, encrypted."""

    ledger_id: str
    organization_id: str
    project_id: str
    data_key_id: str
    nonce: bytes
    ciphertext: bytes
    at: int


class Feedback(Record, frozen=True, kw_only=True):
    """What somebody said of a call.

    Attributes:
        author: The member, or else the key.
        day: Of the call: its number since 1970, in UTC.
        thumbs: 1 is up, -1 is down, 0 is neither.
        score: From 0, the worst, to 1.
        label: Empty for none.
    """

    id: str
    organization_id: str
    project_id: str
    author: str
    request_id: str
    model: str
    day: int
    thumbs: int = 0
    score: float | None = None
    label: str = ""
    at: int


class FeedbackTotal(Record, frozen=True, kw_only=True):
    """What was said of a model's calls of a day."""

    day: int
    model: str
    opinions: int
    thumbs_up: int
    thumbs_down: int
    scores: int
    score_sum: float


class LabelTotal(Record, frozen=True, kw_only=True):
    """How often a label was given to a model's calls of a day."""

    day: int
    model: str
    label: str
    times: int


class QualityDay(Record, FlawCounts, frozen=True, kw_only=True):
    """What was seen of the replies of a model, to a project, of a day: its number since 1970, in UTC."""

    day: int
    organization_id: str
    project_id: str
    model: str


class QualityTotal(Record, FlawCounts, frozen=True, kw_only=True):
    """The same, added up over projects."""

    day: int
    model: str


class Erased(Record, frozen=True, kw_only=True):
    """How much of a tenant was destroyed."""

    contents: int = 0
    data_keys: int = 0
    ledger_rows: int = 0
    feedback: int = 0


class Session(Record, frozen=True, kw_only=True):
    """A browser that is signed in.

    Attributes:
        id: A MAC of what its cookie holds.
        sealed: The key that it signed in with, which only the cookie and the vault together open.
    """

    id: str
    nonce: bytes
    sealed: bytes
    created_at: int
    expires_at: int
