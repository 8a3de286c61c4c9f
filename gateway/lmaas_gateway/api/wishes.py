"""What callers ask for in headers, beside what they ask in the body; almost none of them does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmaas_gateway.errors import InvalidHeaderError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a replica may see of the client's headers. Everything else ends here.
_FORWARDED = frozenset({b"traceparent", b"tracestate", b"anthropic-version", b"anthropic-beta"})
_READ = frozenset(
    {
        b"cache-control",
        b"idempotency-key",
        b"x-lmaas-priority",
        b"x-request-deadline-ms",
        b"x-session-id",
    }
)
_WISHES = _READ | _FORWARDED
_MAX_DEADLINE_DIGITS = 12


class Wishes(NamedTuple):
    """The wishes of one request; what was not said is None, or nothing.

    Attributes:
        limit_s: How many seconds the call may take.
        has_idempotency_key: Whether it must not run twice.
        cache_control: The header.
        session: Names the session.
        priority: The header.
        forwarded: Header lines for the replica, each ended by CRLF.
    """

    limit_s: float | None = None
    has_idempotency_key: bool = False
    cache_control: bytes = b""
    session: bytes | None = None
    priority: bytes | None = None
    forwarded: bytes = b""


_NONE = Wishes()


def read_wishes(fields: Mapping[bytes, bytes]) -> Wishes:
    """Read the wishes of a request.

    Args:
        fields: Its headers, names in lower case.

    Raises:
        InvalidHeaderError: one cannot be understood.
    """
    if _WISHES.isdisjoint(fields):
        return _NONE
    return Wishes(
        read_deadline(fields),
        b"idempotency-key" in fields,
        fields.get(b"cache-control", b""),
        fields.get(b"x-session-id"),
        fields.get(b"x-lmaas-priority"),
        b"".join(b"%b: %b\r\n" % (name, fields[name]) for name in _FORWARDED.intersection(fields)),
    )


def read_deadline(fields: Mapping[bytes, bytes]) -> float | None:
    """Read how many seconds the client gives the call (`x-request-deadline-ms`); None if it does not say.

    Raises:
        InvalidHeaderError: what it says is no number of milliseconds.
    """
    text = fields.get(b"x-request-deadline-ms")
    if text is None:
        return None
    if not text.isdigit() or len(text) > _MAX_DEADLINE_DIGITS or not int(text):
        raise InvalidHeaderError(
            "The header `x-request-deadline-ms` must be a whole number of milliseconds, at least 1.",
            param="x-request-deadline-ms",
        )
    return int(text) / 1e3
