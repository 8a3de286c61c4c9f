"""Who calls: turn the headers of a request into a principal, or refuse."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import (
    AddressNotPermittedError,
    AuthenticationError,
    InvalidHeaderError,
    RouteNotPermittedError,
)
from lmaas_gateway.identity.addresses import Proxies
from lmaas_gateway.identity.warm import Warm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lmaas_gateway.call import Exits
    from lmaas_gateway.identity.running import RunningCalls
    from lmaas_gateway.identity.warm import Header
    from lmaas_gateway.meter import Meter

    Headers = Sequence[Header]

_ANYBODY = Principal(id="anonymous", is_shared=True)
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key"})


class Callers(Protocol):
    """Callers that the configuration does not name."""

    def match(self, credential: bytes, header: Header | None) -> Principal | None:
        """Tell who comes with this credential; None if that is not known without waiting.

        Args:
            credential: A key or a token.
            header: The only one that it came in, under which the caller may be remembered.

        Raises:
            GatewayError: it is not valid.
        """
        ...

    async def find(self, credential: bytes, header: Header | None, address: str) -> Principal:
        """Find out who comes with this credential.

        Raises:
            GatewayError: it is not valid, or that cannot be found out now.
        """
        ...


class Authenticator:
    """Knows the callers by their keys and tokens.

    A key of the configuration is looked up by the hash of the whole of it, so that what the look-up compares,
    and how long that takes, tells nothing of a key. A header that was good once is known as it is.

    Args:
        principals: By key, as the configuration names them.
        keys: Knows the keys of tenants; None lets everybody in while the configuration names no key.
        tokens: Knows people by their tokens.
        warm: Remembers callers of `keys` and `tokens` by their header.
        proxies: Those that are believed where a call comes from.
        running: Takes note of calls that end when their key does; None lets them finish.
        people: The same of people's, by member.
    """

    def __init__(
        self,
        principals: Mapping[str, Principal],
        *,
        keys: Callers | None = None,
        tokens: Callers | None = None,
        warm: Warm | None = None,
        proxies: Proxies | None = None,
        running: RunningCalls | None = None,
        people: RunningCalls | None = None,
    ) -> None:
        self._principals = {_hash(key.encode()): principal for key, principal in principals.items()}
        self._known: dict[Header, Principal] = {}
        self._keys = keys
        self._tokens = tokens
        # An empty one is false.
        self._warm = Warm() if warm is None else warm
        self._proxies = proxies or Proxies()
        self._running = running
        self._people = people
        self._is_open = keys is None and not principals

    def identify(self, headers: Headers, address: str) -> Principal | None:
        """Find the caller's key in `Authorization: Bearer`, `x-api-key` or `api-key`.

        Args:
            headers: Names in lower case, as ASGI gives them.
            address: Where the connection comes from; empty if from no network.

        Returns:
            The caller, or None if that is not known without waiting: ask `look_up`.

        Raises:
            AuthenticationError: no key, or a wrong one.
            InvalidHeaderError: two keys that differ.
            AddressNotPermittedError: the key is for calls from elsewhere.
        """
        if self._is_open:
            return _ANYBODY
        held = []
        for header in headers:
            if header[0] in KEY_HEADERS:
                held.append(header)  # noqa: PERF401  # a comprehension makes a function first
        principal = None
        if len(held) == 1:
            principal = self._known.get(held[0]) or self._warm.recall(held[0])
        if principal is None:
            principal = self._match(held)
        if principal is not None and principal.scopes.addresses:
            self._check_address(principal, headers, address)
        return principal

    async def look_up(self, headers: Headers, address: str) -> Principal:
        """Find the caller where that may take a while.

        Raises:
            GatewayError: as `identify`, or the store cannot be asked.
        """
        held = [header for header in headers if header[0] in KEY_HEADERS]
        credential = read_credential(held)
        callers = self._callers_of(credential)
        client = self._proxies.client_of(headers, address)
        principal = await callers.find(credential, _only(held), client)
        if principal.scopes.addresses:
            self._check_address(principal, headers, address)
        return principal

    def admit(self, principal: Principal, meter: Meter, exits: Exits) -> None:
        """Let a call begin, unless its key may not be used on its route.

        Raises:
            RouteNotPermittedError: it may not.
        """
        if principal.scopes.routes and not principal.scopes.permits_route(meter.route):
            raise RouteNotPermittedError(
                f"The API key may not be used on {meter.route}; use another, or add the route to its scopes."
            )
        if self._running is not None and principal.key:
            exits.append(self._running.enter(principal.key, meter))
        elif self._people is not None and principal.member:
            exits.append(self._people.enter(principal.member, meter))

    def _match(self, held: list[Header]) -> Principal | None:
        credential = read_credential(held)
        principal = self._principals.get(_hash(credential))
        if principal is None:
            return self._callers_of(credential).match(credential, _only(held))
        if len(held) == 1:
            self._remember(held[0], principal)
        return principal

    def _callers_of(self, credential: bytes) -> Callers:
        callers = self._tokens if self._tokens is not None and looks_like_token(credential) else self._keys
        if callers is None:
            raise AuthenticationError("The API key is not valid here.")
        return callers

    def _check_address(self, principal: Principal, headers: Headers, address: str) -> None:
        if not principal.scopes.permits_address(self._proxies.client_of(headers, address)):
            raise AddressNotPermittedError("The API key may not be used from this address.")

    def _remember(self, header: Header, principal: Principal) -> None:
        # One spelling or two a key; who plays with blanks and capitals makes no memory grow.
        if len(self._known) >= 4 * len(self._principals):
            self._known.clear()
        self._known[header] = principal


def looks_like_token(credential: bytes) -> bool:
    """Tell whether this was meant to be a signed token (JWS, compact), and not a key."""
    return credential.startswith(b"eyJ") and credential.count(b".") == 2


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


def _only(held: list[Header]) -> Header | None:
    return held[0] if len(held) == 1 else None
