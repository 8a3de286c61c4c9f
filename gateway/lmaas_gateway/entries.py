"""The entry of one call in the books: a line of the journal, and the row of the ledger that it becomes."""

from __future__ import annotations

import os
import time

import msgspec


class Entry(msgspec.Struct, array_like=True, gc=False):
    """What is known of one call.

    On disk its fields stand in this order and without names, so new ones may only be added at the end, each
    with a default.

    Attributes:
        sequence: Which of its process's calls it is.
        request_id: The call's, which its client may have chosen, and may use again.
        at_us: When it came, in Unix microseconds.
        key: The id of the caller's key, or its name if it stands in the configuration.
        model: The one that answered, else the one that was asked for.
        source: Where a reply came from that no replica made: `hit`, `coalesced` or `replayed`.
        first_byte_us: Until its reply began; 0 if it had none.
        queued_us: How long it waited for its turn.
        busy_ns: Its share of its replica's time.
        price: The price of the moment, as `Price.text` writes it; empty if there was none.
        cost_nanos: What it cost, in nano-dollars; 0 without a price.
    """

    sequence: int
    request_id: str
    at_us: int
    organization: str
    project: str
    key: str
    member: str
    model: str
    replica: str
    route: str
    is_stream: bool
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
    status: int = 0
    code: str = ""
    source: str = ""
    price: str = ""
    cost_nanos: int = 0


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Entry).decode
"""Reads an entry; raises `msgspec.DecodeError` if it is none."""


def make_boot_id() -> str:
    """Name one start of a process: unique in the world, and later ones sort behind earlier ones."""
    return f"{time.time_ns() // 10**6:012x}{os.urandom(6).hex()}"


def ledger_id(boot: str, sequence: int) -> str:
    """Name a call for ever. A ledger that has the name has the call."""
    return f"call_{boot}{sequence:010x}"
