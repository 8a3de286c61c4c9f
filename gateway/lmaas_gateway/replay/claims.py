"""Who works on an idempotency key, and what came of it: the store of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.errors import IdempotencyInFlightError, IdempotencyMismatchError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from lmaas_gateway.replay.bounded import BoundedStore
    from lmaas_gateway.replay.replies import Recorded

Scope = tuple[str, str, bytes]
"""Tenant, route and key: the same key of another tenant, or on another route, is another key."""


class Claim(Protocol):
    """The right to work on a key, until it is released; a `Keeper` of the reply."""

    @property
    def max_entry_bytes(self) -> int:
        """Longer bodies are not kept; the key is free again after such a call."""

    def keep(self, recorded: Recorded) -> Awaitable[object] | None:
        """Store the reply for whoever comes with the same key."""

    def forgo(self) -> None:
        """Hold the key until it is released, though there will be no reply to keep."""

    def release(self) -> None:
        """Let go of the key, without waiting; what was kept stays."""


class Claims(Protocol):
    """Keys, the calls that hold them, and the replies that were kept."""

    async def claim(self, scope: Scope, fingerprint: bytes) -> Recorded | Claim | None:
        """Give the reply that is kept for a key, or else the right to work on it; None if that cannot be had.

        Raises:
            IdempotencyInFlightError: another call with the same body holds the key.
            IdempotencyMismatchError: the key was used with another body.
        """

    async def sweep(self) -> None:
        """Drop what has expired."""

    @property
    def size_bytes(self) -> int:
        """What is kept in the memory of this process."""

    def close(self) -> None:
        """Let go of everything at the end of the process."""


def check_fingerprint(known: bytes, given: bytes) -> None:
    """Compare the body that a key was first used with to the one that came now.

    Raises:
        IdempotencyMismatchError: they differ.
    """
    if known != given:
        raise IdempotencyMismatchError(
            "This `Idempotency-Key` was used with another body; take a new key for each new call."
        )


def in_flight() -> IdempotencyInFlightError:
    """Make the error for the twin of a call that is still under way."""
    return IdempotencyInFlightError(
        "A call with this `Idempotency-Key` is still under way; ask again for its reply.", retry_after_s=1
    )


class MemoryClaims:
    """Claims of one process; they are gone when it ends, so a retry after a crash is a new run.

    Args:
        store: Keeps fingerprints and replies.
        max_entry_bytes: Longer replies are not kept.
    """

    def __init__(self, store: BoundedStore[Scope, tuple[bytes, Recorded]], max_entry_bytes: int) -> None:
        self._store = store
        self._max_entry_bytes = max_entry_bytes
        self._in_flight: dict[Scope, bytes] = {}

    async def claim(self, scope: Scope, fingerprint: bytes) -> Recorded | Claim:
        """Give the reply that is kept for a key, or else the right to work on it.

        Raises:
            IdempotencyInFlightError: another call with the same body holds the key.
            IdempotencyMismatchError: the key was used with another body.
        """
        running = self._in_flight.get(scope)
        if running is not None:
            check_fingerprint(running, fingerprint)
            raise in_flight()
        kept = self._store.get(scope)
        if kept is not None:
            (known, recorded), _ = kept
            check_fingerprint(known, fingerprint)
            return recorded
        self._in_flight[scope] = fingerprint
        return _MemoryClaim(self._in_flight, self._store, scope, self._max_entry_bytes)

    async def sweep(self) -> None:
        """Drop what has expired."""
        self._store.sweep()

    @property
    def size_bytes(self) -> int:
        """What is kept in the memory of this process."""
        return self._store.size_bytes

    def close(self) -> None:
        """Let go of nothing: it ends with the process."""


class _MemoryClaim:
    __slots__ = ("_in_flight", "_is_held", "_scope", "_store", "max_entry_bytes")

    def __init__(
        self,
        in_flight: dict[Scope, bytes],
        store: BoundedStore[Scope, tuple[bytes, Recorded]],
        scope: Scope,
        max_entry_bytes: int,
    ) -> None:
        self._in_flight = in_flight
        self._store = store
        self._scope = scope
        self._is_held = True
        self.max_entry_bytes = max_entry_bytes

    def keep(self, recorded: Recorded) -> None:
        fingerprint = self._in_flight[self._scope]
        self.release()
        self._store.put(self._scope, (fingerprint, recorded), len(recorded.body))

    def forgo(self) -> None:
        pass

    def release(self) -> None:
        # Once let go of, the key may be another call's.
        if self._is_held:
            self._is_held = False
            del self._in_flight[self._scope]
