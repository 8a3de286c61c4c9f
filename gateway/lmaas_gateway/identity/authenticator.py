"""Who calls: turn the headers of a request into a principal, or refuse."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import AuthenticationError, InvalidHeaderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Headers = Sequence[tuple[bytes, bytes]]

_ANYBODY = Principal(id="anonymous", is_shared=True)
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key"})


class Authenticator:
    """Knows the callers by their keys.

    A key is looked up by the hash of the whole of it, so that what the look-up compares, and how long that
    takes, tells nothing of a key. A header that was good once is known as it is, without its hash.

    Args:
        principals: By key, as the configuration names them.
        is_open: Whether everybody is let in while there is no key.
    """

    def __init__(self, principals: Mapping[str, Principal], *, is_open: bool = True) -> None:
        self._principals = {_hash(key.encode()): principal for key, principal in principals.items()}
        self._known: dict[tuple[bytes, bytes], Principal] = {}
        self._is_open = is_open and not principals

    def identify(self, headers: Headers, address: str) -> Principal | None:  # noqa: ARG002  # scopes will
        """Find the caller's key in `Authorization: Bearer`, `x-api-key` or `api-key`.

        Args:
            headers: Names in lower case, as ASGI gives them.
            address: Where the connection comes from; empty if from no network.

        Returns:
            The caller, or None if that is not known without waiting: ask `look_up`.

        Raises:
            AuthenticationError: no key, or a wrong one.
            InvalidHeaderError: two keys that differ.
        """
        if self._is_open:
            return _ANYBODY
        held = [header for header in headers if header[0] in KEY_HEADERS]
        if len(held) == 1 and (principal := self._known.get(held[0])) is not None:
            return principal
        return self._match(held)

    async def look_up(self, headers: Headers, address: str) -> Principal:
        """Find the caller where that may take a while.

        Raises:
            GatewayError: as `identify`, or the store cannot be asked.
        """
        principal = self.identify(headers, address)
        if principal is None:
            raise AuthenticationError("The API key is not valid here.")
        return principal

    def _match(self, held: list[tuple[bytes, bytes]]) -> Principal:
        principal = self._principals.get(_hash(read_credential(held)))
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


def read_credential(held: Headers) -> bytes:
    """Read the one key, or token, that the headers of a request hold.

    Args:
        held: Those headers that may hold one.

    Raises:
        AuthenticationError: there is none.
        InvalidHeaderError: there are two that differ.
    """
    keys = {_read_key(name, value) for name, value in held}
    if not keys:
        raise AuthenticationError("No API key: send it as `Authorization: Bearer <key>`.")
    if len(keys) > 1:
        raise InvalidHeaderError("The request holds two different API keys; send one.")
    return keys.pop()


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _read_key(name: bytes, value: bytes) -> bytes:
    if name == b"authorization":
        scheme, _, key = value.partition(b" ")
        return key.strip() if scheme.lower() == b"bearer" else b""
    return value.strip()
