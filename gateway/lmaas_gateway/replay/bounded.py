"""A store that stays within its bounds: bytes, entries and age."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

# What an entry takes besides the bytes that it holds: key, value, and its places in two orders.
ENTRY_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept, and how long.

    Attributes:
        max_entry_bytes: Larger values are not taken.
    """

    max_bytes: int
    max_entry_bytes: int
    max_entries: int
    ttl_s: float


# Thousands are kept for long; none can be part of a cycle, so the collector need not look at them.
class Entry(msgspec.Struct, Generic[V], frozen=True, gc=False):
    """A value, what it takes, and since when it is here."""

    value: V
    size_bytes: int
    stored_s: float


class BoundedStore(Generic[K, V]):
    """Values by key; the least recently used go first when there are too many, and each when it is too old.

    Args:
        bounds: Within which it stays at all times.
        clock: Monotonic seconds.
    """

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._clock = clock
        self._by_use: OrderedDict[K, Entry[V]] = OrderedDict()
        # All live equally long, so the order of storing is the order of expiry.
        self._by_age: OrderedDict[K, float] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._by_use)

    def get(self, key: K) -> tuple[V, float] | None:
        """Find a value and its age in seconds."""
        entry = self._by_use.get(key)
        if entry is None:
            return None
        age_s = self._clock() - entry.stored_s
        if age_s >= self._bounds.ttl_s:
            self.discard(key)
            return None
        self._by_use.move_to_end(key)
        return entry.value, age_s

    def put(self, key: K, value: V, value_bytes: int) -> None:
        """Store a value in place of the key's last one; one that is too large is not taken."""
        self.discard(key)
        size_bytes = value_bytes + ENTRY_OVERHEAD_BYTES
        if value_bytes > self._bounds.max_entry_bytes or size_bytes > self._bounds.max_bytes:
            return
        now_s = self._clock()
        self._by_use[key] = Entry(value, size_bytes, now_s)
        self._by_age[key] = now_s
        self.size_bytes += size_bytes
        while self.size_bytes > self._bounds.max_bytes or len(self._by_use) > self._bounds.max_entries:
            self.discard(next(iter(self._by_use)))

    def discard(self, key: K) -> None:
        """Drop a value, if there is one."""
        entry = self._by_use.pop(key, None)
        if entry is not None:
            del self._by_age[key]
            self.size_bytes -= entry.size_bytes

    def sweep(self) -> None:
        """Drop what is too old, so that nothing outlives its time unseen."""
        oldest_s = self._clock() - self._bounds.ttl_s
        while self._by_age:
            key, stored_s = next(iter(self._by_age.items()))
            if stored_s > oldest_s:
                return
            self.discard(key)
