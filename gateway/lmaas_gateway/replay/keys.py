"""What the headers of a request say about giving replies again."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from lmaas_gateway.call import Idempotency
from lmaas_gateway.errors import InvalidIdempotencyKeyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.call import Call

_FRESH = frozenset({b"no-cache", b"max-age=0"})
_KEY = re.compile(rb"[!-~]{1,255}")


def read_idempotency(fields: Mapping[bytes, bytes], body: bytes) -> Idempotency | None:
    """Read the `Idempotency-Key` of a request, if it has one.

    Args:
        fields: Headers, names in lower case.
        body: As the client sent it: what the gateway makes of it may differ between two tries.

    Raises:
        InvalidIdempotencyKeyError: it is empty, too long or holds other than visible ASCII characters.
    """
    key = fields.get(b"idempotency-key")
    if key is None:
        return None
    if _KEY.fullmatch(key) is None:
        raise InvalidIdempotencyKeyError(
            "The `Idempotency-Key` must be 1 to 255 visible ASCII characters; take a new UUID for each call."
        )
    return Idempotency(key, sha256(body).digest())


def forbids_storing(call: Call) -> bool:
    """Tell whether the caller wants its reply stored nowhere."""
    return b"no-store" in _directives(call.cache_control)


def wants_fresh(call: Call) -> bool:
    """Tell whether the caller wants no reply but one that is made now."""
    return not _FRESH.isdisjoint(_directives(call.cache_control))


def _directives(cache_control: bytes) -> frozenset[bytes]:
    return frozenset(part.strip().lower() for part in cache_control.split(b","))
