"""Who calls: turn the headers of a request into a principal, or refuse."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ANYBODY = Principal(id="anonymous")
_KEY_HOLDER = Principal(id="api-key")


class Authenticator:
    """Checks the one static key, if there is one.

    Args:
        api_key: The key; None lets everybody in.
    """

    def __init__(self, api_key: str | None) -> None:
        self._api_key = None if api_key is None else api_key.encode()

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Principal:
        """Find the caller's key in `Authorization: Bearer`, `x-api-key` or `api-key`.

        Args:
            headers: Names in lower case, as ASGI gives them.

        Raises:
            AuthenticationError: no key, a wrong one, or two that differ.
        """
        if self._api_key is None:
            return _ANYBODY
        keys = {key for name, value in headers if (key := _read_key(name, value)) is not None}
        if not keys:
            raise AuthenticationError("No API key: send it as `Authorization: Bearer <key>`.")
        if len(keys) > 1:
            raise AuthenticationError("The request holds two different API keys; send one.")
        if not hmac.compare_digest(keys.pop(), self._api_key):
            raise AuthenticationError("The API key is not valid here.")
        return _KEY_HOLDER


def _read_key(name: bytes, value: bytes) -> bytes | None:
    if name == b"authorization":
        scheme, _, key = value.partition(b" ")
        return key.strip() if scheme.lower() == b"bearer" else b""
    return value.strip() if name in {b"x-api-key", b"api-key"} else None
