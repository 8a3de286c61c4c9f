"""How many unknown keys the store is asked for.

Whoever knows the form of a key can invent keys, and each costs a query. So a process asks in vain only so
often in a second, and seldom for a place that has asked in vain before. Keys that are found cost nothing:
after a restart all of them are asked for.
"""

from __future__ import annotations

import time
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from lmaas_gateway.errors import AuthenticationBusyError

if TYPE_CHECKING:
    from collections.abc import Callable

# What one place may get wrong at once, and how fast that is forgiven.
_MISSES = 20.0
_FORGIVEN_PER_S = 1.0
_MAX_PLACES = 4096
_BITS_OF_A_PLACE = 64


class Bucket:
    """Holds so many, and gets so many a second.

    Args:
        most: How many it holds, and has at first.
        per_s: How many it gets in a second.
        clock: Monotonic seconds.
    """

    __slots__ = ("_at_s", "_clock", "_held", "_most", "_per_s")

    def __init__(self, most: float, per_s: float, clock: Callable[[], float]) -> None:
        self._most = self._held = most
        self._per_s = per_s
        self._clock = clock
        self._at_s = clock()

    def has_one(self) -> bool:
        """Tell whether there is one to take."""
        now_s = self._clock()
        self._held = min(self._most, self._held + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return self._held >= 1

    def take(self) -> None:
        """Take one, or the part of one that is there."""
        self._held = max(0.0, self._held - 1)

    def give_back(self) -> None:
        """Put one back."""
        self._held = min(self._most, self._held + 1)


class Throttle:
    """Lets look-ups through to the store, or not.

    Args:
        per_s: How many may be in vain in a second.
        clock: Monotonic seconds.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = Bucket(per_s, per_s, clock)
        self._misses: dict[str, Bucket] = {}

    def admit(self, address: str) -> None:
        """Let one look-up through, which counts as in vain until `note_found`.

        Raises:
            AuthenticationBusyError: too many were in vain, or too many from there.
        """
        misses = self._misses.get(place_of(address))
        if (misses is not None and not misses.has_one()) or not self._all.has_one():
            raise AuthenticationBusyError(
                "So many unknown API keys are tried that this one cannot be looked up now; retry.",
                retry_after_s=1,
            )
        self._all.take()

    def note_found(self) -> None:
        """Take note that a look-up was not in vain."""
        self._all.give_back()

    def note_miss(self, address: str) -> None:
        """Take note that a look-up was in vain."""
        place = place_of(address)
        # The place comes to the end: the one that is dropped has been quiet for longest.
        bucket = self._misses.pop(place, None) or Bucket(_MISSES, _FORGIVEN_PER_S, self._clock)
        if len(self._misses) >= _MAX_PLACES:
            del self._misses[next(iter(self._misses))]
        self._misses[place] = bucket
        if bucket.has_one():
            bucket.take()


def place_of(address: str) -> str:
    """Give what a caller cannot easily change of its address."""
    try:
        at = ip_address(address)
    except ValueError:
        return ""
    if not isinstance(at, IPv6Address):
        return str(at)
    if at.ipv4_mapped is not None:
        return str(at.ipv4_mapped)
    return str(ip_network((int(at), _BITS_OF_A_PLACE), strict=False).network_address)
