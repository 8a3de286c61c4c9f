"""What the admin API answers with."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_STORE: Mapping[str, str] = MappingProxyType({"cache-control": "no-store"})
"""Keeps answers out of caches: they hold secrets, and what is stopped now must not be shown as running."""

_ENCODER = msgspec.json.Encoder()


def answer(shown: Any, status: int = 200) -> Response:
    """Answer with an object as JSON."""
    return Response(_ENCODER.encode(shown), status, NO_STORE, "application/json")
