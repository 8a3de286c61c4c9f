"""Browsers that are signed in: each has a key of the gateway, and stands for whom that key stands for.

The cookie holds 256 random bits and a MAC of them, so that junk reaches no database. The database holds
another MAC as the session's id, and the key, sealed so that cookie, database and master secret are needed to
open it, all three. Whether the key is still valid is not asked here: it is put to the authenticator at each
request, as if the browser had sent it, and so what ends a key, ends its sessions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.errors import StoreUnavailableError, VaultError
from lmaas_gateway.storage.records import Session as Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.vault.sealing import Place

_SECRET_BYTES = 32
_MAC_BYTES = 16
# A session that was ended elsewhere is known to be within this.
_KNOWN_S = 3.0
_MAX_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in.

    Attributes:
        credential: The key that it signed in with.
        expires_at_s: When it ends, in Unix seconds.
    """

    credential: bytes
    expires_at_s: float


class SessionStore(Protocol):
    """Where sessions are kept; each method raises `StoreUnavailableError`."""

    async def add(self, record: Record, now_us: int) -> None:
        """Keep one, and drop what is over by now."""
        ...

    async def find(self, id_: str) -> Record | None:
        """Give one."""
        ...

    async def remove(self, id_: str) -> None:
        """Drop one."""
        ...


class Sessions:
    """Begins, finds and ends sessions.

    Args:
        store: Keeps them.
        key_of: Gives the key of purpose `session` of a version of the master secret.
        newest: Gives the newest version.
        lifetime_s: How long one lasts.
        wall_clock: Unix seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        key_of: Callable[[int], bytes],
        newest: Callable[[], int],
        lifetime_s: float,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._key_of = key_of
        self._newest = newest
        self.lifetime_s = lifetime_s
        self._wall_clock = wall_clock
        self._clock = clock
        self._known: dict[str, tuple[Session, float]] = {}

    async def begin(self, credential: bytes) -> str:
        """Sign a browser in with a key that was found to be valid; give what its cookie is to hold.

        Raises:
            StoreUnavailableError: it cannot be kept.
        """
        from lmaas_gateway.vault.sealing import seal  # noqa: PLC0415 - heavy, and most gateways have no visitors

        version, secret = self._newest(), secrets.token_bytes(_SECRET_BYTES)
        id_ = self._id(version, secret)
        nonce, sealed = seal(self._sealing_key(version, secret), credential, _place(id_, version))
        now_s = self._wall_clock()
        record = Record(
            id=id_,
            nonce=nonce,
            sealed=sealed,
            created_at=int(now_s * 1e6),
            expires_at=int((now_s + self.lifetime_s) * 1e6),
        )
        await self._store.add(record, record.created_at)
        return f"{version}.{_encode(secret + self._mac(version, secret))}"

    async def find(self, token: str) -> Session | None:
        """Give the session of a cookie; None if there is none, or it is over.

        Raises:
            StoreUnavailableError: that cannot be found out.
        """
        read = self._read(token)
        if read is None:
            return None
        version, secret = read
        id_ = self._id(version, secret)
        known = self._known.get(id_)
        if known is None or self._clock() >= known[1]:
            known = await self._look_up(id_, version, secret, known)
        if known is None or known[0].expires_at_s <= self._wall_clock():
            return None
        return known[0]

    async def end(self, token: str) -> None:
        """Sign a browser out; what its cookie holds is worth nothing from here on.

        Raises:
            StoreUnavailableError: it cannot be forgotten.
        """
        read = self._read(token)
        if read is not None:
            id_ = self._id(*read)
            self._known.pop(id_, None)
            await self._store.remove(id_)

    async def _look_up(
        self, id_: str, version: int, secret: bytes, known: tuple[Session, float] | None
    ) -> tuple[Session, float] | None:
        try:
            record = await self._store.find(id_)
        except StoreUnavailableError:
            # An outage signs nobody out; their keys are judged by what is known of keys.
            if known is None:
                raise
            return known
        self._known.pop(id_, None)
        if record is None:
            return None
        from lmaas_gateway.vault.sealing import unseal  # noqa: PLC0415 - as in `begin`

        try:
            credential = unseal(
                self._sealing_key(version, secret), record.nonce, record.sealed, _place(id_, version)
            )
        except VaultError:
            return None
        if len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        found = Session(credential, record.expires_at / 1e6), self._clock() + _KNOWN_S
        self._known[id_] = found
        return found

    def _read(self, token: str) -> tuple[int, bytes] | None:
        """Take what a cookie holds apart; None if it was not made here."""
        number, _, text = token.partition(".")
        if not number.isdecimal() or len(number) > 6 or len(text) > 128:
            return None
        try:
            held = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            secret, mac = held[:_SECRET_BYTES], held[_SECRET_BYTES:]
            is_ours = hmac.compare_digest(mac, self._mac(int(number), secret))
        except (ValueError, VaultError):
            return None
        return (int(number), secret) if is_ours else None

    def _mac(self, version: int, secret: bytes) -> bytes:
        return self._derive(version, b"cookie", secret)[:_MAC_BYTES]

    def _id(self, version: int, secret: bytes) -> str:
        return self._derive(version, b"id", secret).hex()

    def _sealing_key(self, version: int, secret: bytes) -> bytes:
        return self._derive(version, b"seal", secret)

    def _derive(self, version: int, what: bytes, secret: bytes) -> bytes:
        return hmac.digest(self._key_of(version), b"%b|%b" % (what, secret), hashlib.sha256)


class HeldSessions:
    """Sessions of a gateway without a store: of this process, as long as it runs."""

    def __init__(self) -> None:
        self._held: dict[str, Record] = {}

    async def add(self, record: Record, now_us: int) -> None:
        """Keep one, and drop what is over by now."""
        self._held = {id_: one for id_, one in self._held.items() if one.expires_at > now_us}
        if len(self._held) >= _MAX_KNOWN:
            del self._held[next(iter(self._held))]
        self._held[record.id] = record

    async def find(self, id_: str) -> Record | None:
        """Give one."""
        return self._held.get(id_)

    async def remove(self, id_: str) -> None:
        """Drop one."""
        self._held.pop(id_, None)


def _place(id_: str, version: int) -> Place:
    from lmaas_gateway.vault.sealing import Place  # noqa: PLC0415 - as in `begin`

    return Place("", "sessions", id_, "sealed", str(version))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
