"""Follows the store's changes of keys, so that a revocation is known here within seconds.

The store is asked once a second, or at once when somebody says that there is news. What it lists is when
which keys changed; those that are known here are then read as they are now. While it cannot be asked, or is
late, no key is taken for longer than that unless it was asked for by itself (`Warm.trusted_until_s`,
`Caller.sure_until_s`): what an outage allows is up to `stored.py`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.errors import StoreUnavailableError
from lmaas_gateway.identity.warm import KNOWN_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lmaas_gateway.identity.running import RunningCalls
    from lmaas_gateway.identity.stored import StoredKeys
    from lmaas_gateway.identity.warm import Warm
    from lmaas_gateway.storage.changes import Place
    from lmaas_gateway.storage.holders import KeyHolder

_LOG = logging.getLogger("lmaas.gateway")
# Transactions are seen when they commit, not in the order of the times that they write.
_OVERLAP_S = 10.0
_USED_INTERVAL_S = 60.0
_MIN_PAUSE_S = 0.02


class ChangeSource(Protocol):
    """Where changes are asked for; each method raises `StoreUnavailableError`."""

    async def find_latest_change(self) -> Place:
        """Tell which key changed last, and when."""
        ...

    async def list_changed(self, after: Place) -> list[Place]:
        """List when which keys changed, after `after`."""
        ...

    async def find_all(self, key_ids: Sequence[str]) -> list[KeyHolder]:
        """Find several keys by their ids."""
        ...

    async def note_used(self, times: Mapping[str, int]) -> None:
        """Note when keys were last used."""
        ...


class KeyChanges:
    """Keeps what is known of keys up to date.

    Args:
        source: The store.
        keys: What is known.
        warm: Told how long it may be trusted.
        running: The calls under way; None lets them finish, whatever becomes of their keys.
        poll_s: How often the store is asked.
        clock: Monotonic seconds.
        wall_clock: Unix seconds.
    """

    def __init__(
        self,
        source: ChangeSource,
        keys: StoredKeys,
        warm: Warm,
        *,
        running: RunningCalls | None,
        poll_s: float,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._keys = keys
        self._warm = warm
        self._running = running
        self._poll_s = poll_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._seen: Place | None = None
        self._seen_at_s = -math.inf
        self._used_at_s = clock()
        self._news = asyncio.Event()
        self._doubted: set[str] = set()
        warm.trusted_until_s = -math.inf

    def hear(self, revoked: Iterable[str] = ()) -> None:
        """Ask the store at once: somebody says that there is news.

        Args:
            revoked: Ids of keys that were revoked, as far as it is said.
        """
        self._doubted.update(self._keys.doubt(revoked))
        self._news.set()

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                await self.follow()
            except Exception:
                _LOG.exception("what has changed of keys could not be found out")
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            # Of news that come in a shower, one look sees them all.
            await asyncio.sleep(_MIN_PAUSE_S)

    async def follow(self) -> None:
        """Find out once what has changed, and act on it."""
        started_s = self._clock()
        try:
            await self._catch_up()
        except StoreUnavailableError:
            _LOG.debug("the store does not tell what has changed of keys")
        else:
            self._warm.trusted_until_s = started_s + KNOWN_WITHIN_S
        self._cut()
        await self._note_used()

    async def _catch_up(self) -> None:
        if self._seen is None:
            self._seen = await self._source.find_latest_change()
            # What was learned before may have changed before.
            self._keys.forget()
            return
        after = self._seen
        if self._clock() - self._seen_at_s < _OVERLAP_S:
            after = (self._seen[0] - int(_OVERLAP_S * 1e6), "")
        changes = await self._source.list_changed(after)
        news = {key_id for at, key_id in changes if self._is_news(key_id, at)}
        doubted, self._doubted = self._doubted, set()
        try:
            await self._read_again([*(news | doubted)])
        except StoreUnavailableError:
            self._doubted |= doubted
            raise
        if changes and changes[-1] > self._seen:
            self._seen, self._seen_at_s = changes[-1], self._clock()

    def _is_news(self, key_id: str, at: int) -> bool:
        is_running = self._running is not None and key_id in self._running
        return (is_running or self._keys.is_waiting_for(key_id)) and self._keys.changed_at(key_id) < at

    async def _read_again(self, key_ids: list[str]) -> None:
        if not key_ids:
            return
        try:
            holders = await self._source.find_all(key_ids)
        except StoreUnavailableError:
            self._keys.doubt(key_ids)
            raise
        self._keys.take(holders)

    def _cut(self) -> None:
        if self._running is None:
            return
        for key_id in tuple(self._running):
            fault = self._keys.refusal_of(key_id)
            if fault is not None:
                calls = self._running.end(key_id, fault)
                _LOG.warning("ended %d calls of the key %s: %s", calls, key_id, fault.code)

    async def _note_used(self) -> None:
        if self._clock() - self._used_at_s < _USED_INTERVAL_S:
            return
        self._used_at_s = self._clock()
        used = self._keys.take_used()
        if used:
            at = int(self._wall_clock() * 1e6)
            try:
                await self._source.note_used(dict.fromkeys(used, at))
            except StoreUnavailableError:
                _LOG.debug("the store does not take when keys were used")
