"""Replies of `/admin/v1/calls`: calls that a gateway has served, and what happened to each."""

from __future__ import annotations

from pydantic import Field

from lmaas.types._base import ReplyModel, WireModel
from lmaas.types.admin_params import AdminListParams


class CallListParams(AdminListParams, total=False):
    """Parameters of `calls.list`.

    Attributes:
        failed: Only calls that the service failed on, or refused.
        slow_over_s: Only calls that took longer, in seconds.
        since: Only calls that ended then or later, in Unix seconds.
    """

    failed: bool
    slow_over_s: float
    model: str
    project: str
    since: int


class ServedCall(ReplyModel):
    """One call, as lists show it; `id` is its request id, `at` when it came, in Unix seconds.

    Attributes:
        outcome: ok, error, interrupted, limited, client_gone or gateway_lost.
        source: Where a reply came from that no replica made: hit, coalesced or replayed.
        first_byte_s: Seconds until its reply began; None if it had none.
        cost_nanos: In nano-dollars.
    """

    id: str
    object: str = "call"
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


class CallStep(WireModel):
    """Something that happened to a call.

    Attributes:
        at_s: When it began, in seconds since the call came, where that was noted.
        source: Who measured it: the gateway, the engine itself, or nobody (derived from other times).
        text: What happened, and why.
    """

    name: str
    at_s: float | None = None
    duration_s: float | None = None
    source: str = "gateway"
    text: str


class CallCandidate(WireModel):
    """A replica that could have taken a call; what it had to do, and what it was worth, are in tokens."""

    replica: str
    is_chosen: bool
    load: float | None = None
    prefix_worth: float | None = None


class CallFailure(WireModel):
    """An attempt at a replica that failed before a byte of its reply reached the client."""

    model: str
    replica: str
    reason: str
    status: int | None = None
    duration_s: float


class CallFallback(WireModel):
    """A model that could not serve a call, so that the next one of its plan was asked."""

    model: str
    code: str


class CallLimit(WireModel):
    """What was left of the tightest limit on `metric`, this call's share taken off."""

    metric: str
    limit: int
    remaining: int
    reset: str | None = None


class CallEngineTimes(WireModel):
    """Where a call's time in the engine went; `source` is engine if it said so itself, else derived."""

    source: str
    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None


class CallExplanation(ServedCall):
    """What happened to one call, and why.

    Attributes:
        known_from: record, or ledger where the record has made room for newer ones: then there is less.
        summary: Where most of its time went.
        steps: In their order.
        policies: What was changed of it on its way.
        routing: The policy that chose its replica, if there was something to choose.
        price: The model's of that moment, in nano-dollars.
    """

    known_from: str
    summary: str
    steps: list[CallStep]
    policies: list[str] = Field(default_factory=list)
    routing: str | None = None
    candidates: list[CallCandidate] = Field(default_factory=list)
    failures: list[CallFailure] = Field(default_factory=list)
    fallbacks: list[CallFallback] = Field(default_factory=list)
    limits: list[CallLimit] = Field(default_factory=list)
    engine: CallEngineTimes | None = None
    price: dict[str, int] | None = None
