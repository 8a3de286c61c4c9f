"""The keys in the store, as far as this process knows them.

A key that is known is recognised without waiting. One that is not is asked for, once for all who wait for it,
and only if its form is right and few are asked for (`throttle.py`). What is known holds for `cache_s`, and,
while the store cannot be asked, for `stale_s` more: an outage must not turn valid keys away. It never holds
against a change that was seen: `changes.py` tells of those within seconds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.call import Principal, Scopes
from lmaas_gateway.errors import (
    AuthenticationError,
    KeyExpiredError,
    KeyRevokedError,
    StoreUnavailableError,
    VaultError,
)
from lmaas_gateway.identity.configured import PRIORITIES
from lmaas_gateway.identity.keys import is_key, looks_like_key, read_id
from lmaas_gateway.identity.roles import lesser
from lmaas_gateway.identity.throttle import Throttle
from lmaas_gateway.identity.warm import KNOWN_WITHIN_S, Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.identity.keys import Peppers
    from lmaas_gateway.identity.warm import Header, Warm
    from lmaas_gateway.settings import IdentitySettings
    from lmaas_gateway.storage.holders import KeyHolder

_LOG = logging.getLogger("lmaas.gateway")
_MAX_MISSES = 10_000
# After the store did not answer, what is known is taken for this long before it is asked again.
_PAUSE_S = 1.0
_NO_MAC = bytes(32)


class KeySource(Protocol):
    """Where keys are asked for."""

    async def find(self, key_id: str) -> KeyHolder | None:
        """Find a key by its id.

        Raises:
            StoreUnavailableError: it cannot be asked now.
        """
        ...


class _KnownKey(Caller):
    """A key that is known.

    Attributes:
        holder: As the store had it.
        stale_until_s: How long it may be taken while the store cannot be asked.
        unasked_until_s: How long it is taken now, since the store just could not be asked.
    """

    __slots__ = ("holder", "stale_until_s", "unasked_until_s")

    def __init__(self, holder: KeyHolder, principal: Principal) -> None:
        super().__init__(principal, -math.inf)
        self.holder = holder
        self.stale_until_s = self.unasked_until_s = -math.inf

    def holds(self, now_s: float, trusted_until_s: float) -> bool:
        """Tell whether the store need not be asked."""
        is_trusted = now_s < trusted_until_s or now_s < self.sure_until_s
        return (now_s < self.until_s and is_trusted) or now_s < self.unasked_until_s


class StoredKeys:
    """Recognises the keys of tenants.

    Args:
        source: The store.
        peppers: What MACs are made with.
        rules: How long what is known holds.
        warm: Where callers are remembered by their header.
        principal_of: Says whom a key stands for.
        clock: Monotonic seconds.
        wall_clock: Unix seconds.
    """

    def __init__(
        self,
        source: KeySource,
        peppers: Peppers,
        rules: IdentitySettings,
        *,
        warm: Warm,
        principal_of: Callable[[KeyHolder], Principal] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._peppers = peppers
        self._rules = rules
        self._warm = warm
        self._principal_of = principal_of or principal_of_key
        self._clock = clock
        self._wall_clock = wall_clock
        self._known: dict[str, _KnownKey] = {}
        self._misses: dict[str, float] = {}
        self._flights: dict[str, asyncio.Task[_KnownKey | None]] = {}
        self._throttle = Throttle(rules.max_lookups_per_s, clock)

    def match(self, credential: bytes, header: Header | None) -> Principal | None:
        """Tell who holds this key, if that is known without asking; None if not.

        Args:
            credential: The key.
            header: The only one that it came in, under which its holder may be remembered.

        Raises:
            GatewayError: it is not valid.
        """
        key_id = read_id(credential)
        if key_id is None:
            raise _refusal(credential)
        now_s = self._clock()
        known = self._known.get(key_id)
        if known is not None and known.holds(now_s, self._warm.trusted_until_s):
            return self._check(known, credential, header)
        if self._misses.get(key_id, 0.0) > now_s:
            raise self._miss(credential)
        return None

    async def find(self, credential: bytes, header: Header | None, address: str) -> Principal:
        """Tell who holds this key; ask the store.

        Args:
            credential: The key.
            header: As for `match`.
            address: Where the call comes from.

        Raises:
            GatewayError: it is not valid, or the store cannot be asked.
        """
        key_id = read_id(credential)
        if key_id is None:
            raise _refusal(credential)
        is_cold = not self.is_waiting_for(key_id)
        if is_cold:
            self._throttle.admit(address)
        known = await self._ask(key_id)
        if known is None:
            self._throttle.note_miss(address)
            raise self._miss(credential)
        if is_cold:
            self._throttle.note_found()
        return self._check(known, credential, header)

    def forget(self) -> None:
        """Ask for all keys again."""
        self.doubt(tuple(self._known))

    def is_waiting_for(self, key_id: str) -> bool:
        """Tell whether a change of this key matters here: it is known, or being asked for."""
        return key_id in self._known or key_id in self._flights

    def changed_at(self, key_id: str) -> int:
        """Tell when the key, as it is known here, last changed; 0 if it is not known."""
        known = self._known.get(key_id)
        return 0 if known is None else known.holder.changed_at

    def take(self, holders: Iterable[KeyHolder]) -> None:
        """Know these keys as they are now."""
        for holder in holders:
            self._learn(holder)

    def doubt(self, key_ids: Iterable[str]) -> list[str]:
        """Take these keys no more before they were asked for: they have changed, nobody knows how.

        Returns:
            Those that were known.
        """
        doubted = []
        for key_id in key_ids:
            if (known := self._known.pop(key_id, None)) is not None:
                self._warm.forget(known)
                doubted.append(key_id)
        return doubted

    def refusal_of(self, key_id: str) -> GatewayError | None:
        """Tell why a key that is known is not valid; None if it is, or is not known."""
        known = self._known.get(key_id)
        return None if known is None else self._find_fault(known.holder)

    def take_used(self) -> list[str]:
        """List the keys that were used since this was last asked."""
        used = [known for known in self._known.values() if known.is_used]
        for known in used:
            known.is_used = False
        return [known.holder.id for known in used]

    async def _ask(self, key_id: str) -> _KnownKey | None:
        """Ask the store; who asks for the same key meanwhile waits for the same answer."""
        flight = self._flights.get(key_id)
        if flight is None:
            flight = self._flights[key_id] = asyncio.create_task(self._fetch(key_id))
            flight.add_done_callback(lambda flight: self._land(key_id, flight))
        # One that leaves takes the answer from nobody else.
        return await asyncio.shield(flight)

    def _land(self, key_id: str, flight: asyncio.Task[_KnownKey | None]) -> None:
        del self._flights[key_id]
        if not flight.cancelled():
            # All who waited for it may have left, and then nobody hears of its failure.
            flight.exception()

    async def _fetch(self, key_id: str) -> _KnownKey | None:
        asked_s = self._clock()
        try:
            holder = await self._source.find(key_id)
        except StoreUnavailableError:
            known = self._go_on_with(key_id)
            if known is None:
                raise
            return known
        if holder is not None:
            known = self._learn(holder)
            known.sure_until_s = asked_s + KNOWN_WITHIN_S
            return known
        # It may be known of before: somebody removed its row.
        self.doubt([key_id])
        self._misses.pop(key_id, None)
        if len(self._misses) >= _MAX_MISSES:
            del self._misses[next(iter(self._misses))]
        self._misses[key_id] = self._clock() + self._rules.cache_misses_s
        return None

    def _go_on_with(self, key_id: str) -> _KnownKey | None:
        """Take what is known for a moment, since the store does not answer, unless that was too long ago."""
        known = self._known.get(key_id)
        now_s = self._clock()
        if known is None or now_s >= known.stale_until_s:
            return None
        known.unasked_until_s = min(now_s + _PAUSE_S, known.stale_until_s)
        return known

    def _learn(self, holder: KeyHolder) -> _KnownKey:
        known = self._known.get(holder.id)
        if known is not None and known.holder.changed_at > holder.changed_at:
            # An answer that was under way while the key changed.
            return known
        if known is None:
            self._make_room()
            known = self._known[holder.id] = _KnownKey(holder, self._principal_of(holder))
        elif known.holder != holder:
            known.holder, known.principal = holder, self._principal_of(holder)
        now_s = self._clock()
        ends_s = math.inf
        if holder.expires_at is not None:
            ends_s = now_s + holder.expires_at / 1e6 - self._wall_clock()
        known.until_s = now_s + self._rules.cache_s
        known.stale_until_s = known.until_s + self._rules.stale_s
        if self._find_fault(holder) is not None:
            self._warm.forget(known)
        elif ends_s < known.until_s:
            known.until_s = known.stale_until_s = ends_s
        elif ends_s < known.stale_until_s:
            known.stale_until_s = ends_s
        return known

    def _make_room(self) -> None:
        if len(self._known) >= self._rules.cache_keys:
            self._warm.forget(self._known.pop(next(iter(self._known))))

    def _check(self, known: _KnownKey, credential: bytes, header: Header | None) -> Principal:
        try:
            pepper = self._peppers.keys_of("pepper", known.holder.pepper_version)
        except VaultError as error:
            _LOG.error("a key cannot be checked: %s", error)
            raise _refusal(credential) from None
        if not is_key(credential, known.holder.mac, pepper):
            raise _refusal(credential)
        fault = self._find_fault(known.holder)
        if fault is not None:
            raise fault
        if header is not None:
            self._warm.keep(header, known)
        known.is_used = True
        return known.principal

    def _find_fault(self, holder: KeyHolder) -> GatewayError | None:
        if holder.revoked_at is not None:
            return KeyRevokedError("The API key was revoked; use another one.")
        if holder.is_closed:
            return KeyRevokedError("What the API key stands for was closed; use another one.")
        if holder.expires_at is not None and holder.expires_at <= self._wall_clock() * 1e6:
            return KeyExpiredError("The API key has expired; use another one.")
        return None

    def _miss(self, credential: bytes) -> AuthenticationError:
        # As much work as for a key that is known, so that the time tells nothing of which ids there are.
        is_key(credential, _NO_MAC, self._peppers.keys_of("pepper", self._peppers.newest))
        return _refusal(credential)


def principal_of_key(holder: KeyHolder) -> Principal:
    """Say whom a key stands for."""
    scopes = holder.scopes
    role = scopes.admin
    if role is not None and holder.member:
        role = lesser(role, holder.role)
    return Principal(
        holder.id,
        holder.weight,
        PRIORITIES.get(holder.priority, 0),
        organization=holder.organization,
        project=holder.project,
        member=holder.member,
        key=holder.id,
        role=role,
        scopes=Scopes(scopes.models, scopes.routes, scopes.addresses, scopes.admin),
        stores_content=holder.stores_content,
    )


def _refusal(credential: bytes) -> AuthenticationError:
    if looks_like_key(credential) and read_id(credential) is None:
        return AuthenticationError("The API key is mistyped, or was cut short: copy it again, as a whole.")
    return AuthenticationError("The API key is not valid here.")
