"""People, by the tokens of their identity provider (OpenID Connect; RFC 7519, with the advice of RFC 8725).

A token is remembered by the hash of the whole of it. Its signature is checked once; who it is for is asked of
the store again every few seconds, since a member may be disabled, and until the token expires.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from typing import TYPE_CHECKING, Any, Protocol

import jwt

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import (
    AuthenticationError,
    KeyExpiredError,
    PermissionDeniedError,
    StoreUnavailableError,
)
from lmaas_gateway.identity.people import membership_closed
from lmaas_gateway.identity.throttle import Throttle
from lmaas_gateway.identity.warm import Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.identity.key_sets import KeySet
    from lmaas_gateway.identity.warm import Header, Warm
    from lmaas_gateway.settings import IdentitySettings, IssuerSettings
    from lmaas_gateway.storage.holders import PersonHolder

LEEWAY_S = 60
"""How far the provider's clock may be off."""

_MAX_TOKEN_BYTES = 8192
_MAX_KNOWN = 10_000
_MAX_SUBJECT_CHARS = 512
# A member that was disabled is out this soon.
_ASKED_AGAIN_S = 4.0
_INVALID = "The token is not valid here: "
# In a message for the caller: what is wrong with a token, in our words, never the library's.
_FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ImmatureSignatureError, "its time has not come."),
    (jwt.InvalidAudienceError, "it is for another audience."),
    (jwt.InvalidIssuerError, "it is of another issuer."),
    (jwt.MissingRequiredClaimError, "it lacks a claim: `exp`, `iss`, `aud` and `sub` must be there."),
)


class PersonSource(Protocol):
    """Where people are asked for."""

    async def find_person(self, subject: str) -> PersonHolder | None:
        """Find the member who is recognised by `issuer|sub`.

        Raises:
            StoreUnavailableError: it cannot be asked now.
        """
        ...


class _KnownToken(Caller):
    """A token whose signature was checked.

    Attributes:
        subject: `issuer|sub`.
        expires_s: When it ends, by our clock.
        stale_until_s: How long it may be taken while the store cannot be asked.
    """

    __slots__ = ("expires_s", "stale_until_s", "subject")

    def __init__(self, subject: str, expires_s: float) -> None:
        super().__init__(Principal(subject), -math.inf)
        self.subject = subject
        self.expires_s = expires_s
        self.stale_until_s = -math.inf


class Tokens:
    """Recognises people by their tokens.

    Args:
        source: The store.
        issuers: The identity providers, each with its keys.
        rules: How long what is known holds.
        warm: Where callers are remembered by their header.
        finish: Completes a principal.
        clock: Monotonic seconds.
        wall_clock: Unix seconds.
    """

    def __init__(
        self,
        source: PersonSource,
        issuers: Mapping[str, tuple[IssuerSettings, KeySet]],
        rules: IdentitySettings,
        *,
        warm: Warm,
        finish: Callable[[Principal], Principal] = lambda principal: principal,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._issuers = issuers
        self._rules = rules
        self._warm = warm
        self._finish = finish
        self._clock = clock
        self._wall_clock = wall_clock
        self._known: dict[bytes, _KnownToken] = {}
        self._flights: dict[bytes, asyncio.Task[_KnownToken]] = {}
        self._throttle = Throttle(rules.max_lookups_per_s, clock)

    def match(self, credential: bytes, header: Header | None) -> Principal | None:
        """Tell whose token this is, if that is known without asking; None if not."""
        known = self._known.get(_hash(credential))
        if known is None or self._clock() >= known.until_s:
            return None
        return self._admit(known, header)

    async def find(self, credential: bytes, header: Header | None, address: str) -> Principal:
        """Tell whose token this is: check it, and ask the store.

        Raises:
            GatewayError: it is not valid, or that cannot be found out now.
        """
        digest = _hash(credential)
        flight = self._flights.get(digest)
        if flight is None:
            is_new = digest not in self._known
            if is_new:
                self._throttle.admit(address)
            flight = asyncio.create_task(self._check(credential, digest))
            self._flights[digest] = flight
            flight.add_done_callback(
                lambda flight: self._land(digest, flight, is_new=is_new, address=address)
            )
        # One that leaves takes the answer from nobody else.
        return self._admit(await asyncio.shield(flight), header)

    def _land(self, digest: bytes, flight: asyncio.Task[_KnownToken], *, is_new: bool, address: str) -> None:
        del self._flights[digest]
        if flight.cancelled():
            return
        error = flight.exception()
        if is_new and (error is None or isinstance(error, StoreUnavailableError)):
            self._throttle.note_found()
        elif is_new:
            self._throttle.note_miss(address)

    def _admit(self, known: _KnownToken, header: Header | None) -> Principal:
        if header is not None:
            self._warm.keep(header, known)
        return known.principal

    async def _check(self, credential: bytes, digest: bytes) -> _KnownToken:
        known = self._known.get(digest)
        if known is None:
            known = await self._verify(credential)
        now_s = self._clock()
        if now_s >= known.expires_s:
            self._forget(digest)
            raise KeyExpiredError("The token has expired; sign in again.")
        try:
            person = await self._source.find_person(known.subject)
        except StoreUnavailableError:
            if now_s >= known.stale_until_s:
                raise
            known.until_s = min(now_s + 1, known.stale_until_s)
            return known
        fault = _find_fault(person, known.subject)
        if fault is not None or person is None:
            self._forget(digest)
            raise fault or AuthenticationError(_INVALID)
        self._learn(digest, known, person)
        return known

    def _learn(self, digest: bytes, known: _KnownToken, person: PersonHolder) -> None:
        now_s = self._clock()
        known.principal = self._finish(principal_of_person(person))
        known.until_s = min(now_s + _ASKED_AGAIN_S, known.expires_s)
        known.stale_until_s = min(now_s + self._rules.cache_s + self._rules.stale_s, known.expires_s)
        if digest not in self._known and len(self._known) >= _MAX_KNOWN:
            self._forget(next(iter(self._known)))
        self._known[digest] = known

    def _forget(self, digest: bytes) -> None:
        known = self._known.pop(digest, None)
        if known is not None:
            self._warm.forget(known)

    async def _verify(self, credential: bytes) -> _KnownToken:
        """Check signature and claims, off the loop."""
        if len(credential) > _MAX_TOKEN_BYTES:
            raise AuthenticationError(_INVALID + "it is too long.")
        issuer, key_set = self._issuer_of(credential)
        key_id, algorithm = _read_header(credential, issuer)
        key = await key_set.find(key_id, algorithm)
        if key is None:
            raise AuthenticationError(_INVALID + "its issuer has no such key.")
        claims = await asyncio.to_thread(_decode, credential, key, issuer)
        subject = claims["sub"]
        if not subject or len(subject) > _MAX_SUBJECT_CHARS or "|" in subject:
            raise AuthenticationError(_INVALID + "its subject cannot be used.")
        expires_s = self._clock() + float(claims["exp"]) + LEEWAY_S - self._wall_clock()
        return _KnownToken(f"{issuer.issuer}|{subject}", expires_s)

    def _issuer_of(self, credential: bytes) -> tuple[IssuerSettings, KeySet]:
        """Find out whose keys to check with: what an unchecked claim says is only compared."""
        try:
            claims = jwt.decode(credential, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise AuthenticationError(_INVALID + "it cannot be read.") from None
        name = claims.get("iss")
        found = self._issuers.get(name) if isinstance(name, str) else None
        if found is None:
            raise AuthenticationError(_INVALID + "it is of another issuer.")
        return found


def principal_of_person(person: PersonHolder) -> Principal:
    """Say whom a token stands for."""
    return Principal(
        person.id,
        organization=person.organization,
        project=person.project,
        member=person.id,
        role=person.role,
    )


def _read_header(credential: bytes, issuer: IssuerSettings) -> tuple[str | None, str]:
    """Read which key a token names, and with what it is signed; that must be allowed beforehand."""
    header = jwt.get_unverified_header(credential)
    key_id, algorithm = header.get("kid"), header.get("alg")
    if algorithm not in issuer.algorithms:
        raise AuthenticationError(_INVALID + "it is signed in a way that is not allowed.")
    if key_id is not None and not isinstance(key_id, str):
        raise AuthenticationError(_INVALID + "it cannot be read.")
    return key_id, algorithm


def _decode(credential: bytes, key: jwt.PyJWK, issuer: IssuerSettings) -> dict[str, Any]:
    try:
        return jwt.decode(
            credential,
            key,
            algorithms=[key.algorithm_name],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )
    except jwt.ExpiredSignatureError:
        raise KeyExpiredError("The token has expired; sign in again.") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        said = next((said for kind, said in _FAULTS if isinstance(error, kind)), "its signature is wrong.")
        raise AuthenticationError(_INVALID + said) from None


def _find_fault(person: PersonHolder | None, subject: str) -> GatewayError | None:
    if person is None:
        return PermissionDeniedError(
            f"Your token is good, but you are no member here: have an administrator add you as {subject!r}."
        )
    if person.is_closed:
        return membership_closed()
    return None


def _hash(credential: bytes) -> bytes:
    return hashlib.sha256(credential).digest()
