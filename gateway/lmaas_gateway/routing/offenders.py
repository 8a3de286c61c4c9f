"""Callers whose calls have just failed on two replicas alike: for a while theirs are tried once only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_S = 1.0
_LONGEST_S = 30.0
# Whoever comes with more callers than this finds the oldest forgotten, which costs the pool a retry each.
_MOST = 1024


class Offenders:
    """Remembers who made calls that no replica could answer, and for how long that counts.

    The first such call withholds the caller's retries for a second, each further one for twice as long. Only
    retries after a failure that may be the call's own fault are meant.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Until when, and for how long that is, by pool and caller.
        self._marks: dict[tuple[str, str], tuple[float, float]] = {}

    def is_marked(self, pool: str, who: str) -> bool:
        """Tell whether a caller's calls to a pool are not to be tried again."""
        mark = self._marks.get((pool, who))
        return mark is not None and self._clock() < mark[0]

    def mark(self, pool: str, who: str) -> None:
        """Take note of a call that two replicas failed in the same way."""
        now = self._clock()
        until_s, length_s = self._marks.pop((pool, who), (0.0, 0.0))
        # Calls that were under way together are one offence.
        if now >= until_s:
            length_s = min(max(_FIRST_S, 2 * length_s), _LONGEST_S)
            until_s = now + length_s
        self._marks[pool, who] = (until_s, length_s)
        if len(self._marks) > _MOST:
            del self._marks[next(iter(self._marks))]

    def clear(self, pool: str, who: str) -> None:
        """Take note of a call that another replica answered well."""
        self._marks.pop((pool, who), None)
