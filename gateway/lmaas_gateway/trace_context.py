"""What carries a trace: the `traceparent` header from a caller, the ids of a call's spans, and the header on.

Source: W3C Trace Context, recommendation of 2021-11-23, §3.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lmaas_gateway.envelope import Envelope

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class Parent(NamedTuple):
    """Who called, as far as traces go.

    Attributes:
        trace_id: 128 bits, not all zero.
        span_id: 64 bits, not all zero.
        is_sampled: Whether the caller records this trace.
    """

    trace_id: int
    span_id: int
    is_sampled: bool


def read_parent(header: bytes) -> Parent | None:
    """Read a `traceparent`; None if it is none. Later versions of it may have more fields."""
    match = _TRACEPARENT.fullmatch(header)
    if match is None or match[1] == b"ff" or (match[1] == b"00" and match[5] is not None):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    if not trace_id or not span_id:
        return None
    return Parent(trace_id, span_id, bool(int(match[4], 16) & _SAMPLED))


def write_parent(trace_id: int, span_id: int, *, is_sampled: bool) -> bytes:
    """Write the header's line for a replica, ended by CRLF."""
    return b"traceparent: 00-%032x-%016x-%02x\r\n" % (trace_id, span_id, is_sampled)


@dataclass(slots=True)
class Trace:
    """What is known of a call's trace while it is on its way.

    Attributes:
        trace_id: 128 bits.
        parent_id: The caller's span; None if the trace begins here.
        server_id: The span of the request.
        queue_id: That of its wait.
        client_id: That of what the replica is asked, and the parent of the replica's own.
        wanted: What was read of the body.
        prompt: As it was sent, where content is recorded; else empty.
    """

    trace_id: int
    parent_id: int | None
    server_id: int
    queue_id: int
    client_id: int
    wanted: Envelope | None = None
    prompt: bytes = b""

    def header(self) -> bytes:
        """Write the header's line for the replica."""
        return write_parent(self.trace_id, self.client_id, is_sampled=True)
