"""The record of one call: what is known of it when it has ended. Never a prompt, an answer or a key."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lmaas_gateway.notes import Failure, Fallback, Wait

WELL = frozenset({"ok", "client_gone", "limited"})
"""Outcomes that are no failure of the service: a client may leave, or meet its limit."""


class CallRecord(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What is known of one call.

    In the ring its fields stand in this order and without names, so new ones may only be added at the end,
    each with a default. All times in microseconds but `busy_ns`.

    Attributes:
        at_us: When it came, since 1970.
        request_id: The call's, which its client may have chosen, and may use again.
        organization: Whose it is; empty for keys of the configuration.
        key: The id of the caller's key, or its name if it stands in the configuration.
        model: The one that answered, else the one that was asked for.
        status: What the client was told; 499 if it left before.
        param: The field that the gateway refused, if it was a field.
        source: `miss`, `hit`, `coalesced` or `replayed`, where a store of replies was asked.
        queued_us: How long it waited for its turn.
        sent_us: From its arrival until it was sent to the last replica that was tried; 0 if to none.
        first_byte_us: From its arrival until its reply began; 0 if it had none.
        busy_ns: Its share of its replica's time.
        attempts: How many replicas were asked.
        beside: How many calls that replica had from this process when the call came.
        applied: What was done to it; the bits of `notes.py`.
        policy: What chose the replica; empty where there was but one.
        candidates: The replicas that could take it, by name.
        loads: What each had outstanding, in tokens by its weight, others' calls included.
        worth: What each was worth for having read some of the prompt, in the same measure; may be empty.
        wait: Of a call that had to wait.
        headers: What the head of the reply told of limits, the queue and stores.
        engine_us: Queue, prefill and decode as the engine measured them, where it told.
        price: The price of the moment as `Price.text` writes it; empty if there was none.
        cost_nanos: What it cost, in nano-dollars.
    """

    at_us: float
    request_id: str
    organization: str
    project: str
    key: str
    member: str
    model: str
    replica: str
    route: str
    is_stream: bool
    outcome: str
    status: int
    code: str = ""
    param: str = ""
    source: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimated: bool = False
    queued_us: float = 0
    sent_us: float = 0
    first_byte_us: float = 0
    duration_us: float = 0
    busy_ns: int = 0
    attempts: int = 0
    beside: int = 0
    applied: int = 0
    policy: str = ""
    candidates: Sequence[str] = ()
    loads: Sequence[float] = ()
    worth: Sequence[float] = ()
    wait: Wait | None = None
    failures: list[Failure] | None = None
    fallbacks: list[Fallback] | None = None
    headers: list[tuple[bytes, bytes]] = []
    engine_us: tuple[int, int, int] | None = None
    price: str = ""
    cost_nanos: int = 0

    @property
    def ended_us(self) -> float:
        """When it had ended, since 1970."""
        return self.at_us + self.duration_us

    @property
    def has_failed(self) -> bool:
        """Whether the service failed on it, or refused it."""
        return self.outcome not in WELL


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CallRecord).decode


def decode(data: bytes) -> CallRecord:
    """Read a record.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decode(data)
