"""Who calls: turn the headers of a request into a principal, or refuse."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmaas_gateway.settings import Settings

_ANYBODY = Principal(id="anonymous", is_shared=True)
_KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key"})
_PRIORITIES = {"high": -1, "normal": 0, "low": 1}


def principals_of(settings: Settings) -> dict[str, Principal]:
    """List who is let in, by key; nobody is asked for one if there is none."""
    principals = {
        key.key.get_secret_value(): Principal(key.name, key.weight, _PRIORITIES[key.priority])
        for key in settings.keys
    }
    if settings.api_key is not None:
        principals[settings.api_key.get_secret_value()] = Principal("api-key", is_shared=True)
    return principals


class Authenticator:
    """Knows the callers by their keys.

    A key is looked up by the hash of the whole of it, so that what the look-up compares, and how long that
    takes, tells nothing of a key. A header that was good once is known as it is, without its hash.

    Args:
        principals: By key; none lets everybody in.
    """

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        self._principals = {_hash(key.encode()): principal for key, principal in principals.items()}
        self._known: dict[tuple[bytes, bytes], Principal] = {}

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Principal:
        """Find the caller's key in `Authorization: Bearer`, `x-api-key` or `api-key`.

        Args:
            headers: Names in lower case, as ASGI gives them.

        Raises:
            AuthenticationError: no key, a wrong one, or two that differ.
        """
        if not self._principals:
            return _ANYBODY
        held = [header for header in headers if header[0] in _KEY_HEADERS]
        if len(held) == 1 and (principal := self._known.get(held[0])) is not None:
            return principal
        return self._look_up(held)

    def _look_up(self, held: list[tuple[bytes, bytes]]) -> Principal:
        keys = {_read_key(name, value) for name, value in held}
        if not keys:
            raise AuthenticationError("No API key: send it as `Authorization: Bearer <key>`.")
        if len(keys) > 1:
            raise AuthenticationError("The request holds two different API keys; send one.")
        principal = self._principals.get(_hash(keys.pop()))
        if principal is None:
            raise AuthenticationError("The API key is not valid here.")
        if len(held) == 1:
            self._remember(held[0], principal)
        return principal

    def _remember(self, header: tuple[bytes, bytes], principal: Principal) -> None:
        # One spelling or two a key; who plays with blanks and capitals makes no memory grow.
        if len(self._known) >= 4 * len(self._principals):
            self._known.clear()
        self._known[header] = principal


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _read_key(name: bytes, value: bytes) -> bytes:
    if name == b"authorization":
        scheme, _, key = value.partition(b" ")
        return key.strip() if scheme.lower() == b"bearer" else b""
    return value.strip()
