"""Look at all of one kind again and again, some at a time: thousands at once would hold every call up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

_AT_ONCE = 64
"""About a tenth of a millisecond of work."""
_STOOD_STILL_S = 0.25
_READ_FIRST_S = 0.01


class Rounds(Generic[T]):
    """Looks at each member once in an interval, for as long as there are any.

    Args:
        look: Looks at some of them; takes the time by the event loop's clock.
        interval_s: How long a round takes; one that changes counts from the next round on.
    """

    def __init__(self, look: Callable[[Sequence[T], float], None], interval_s: float) -> None:
        self._look = look
        self.interval_s = self._pause_s = interval_s
        self._members: set[T] = set()
        self._left: list[T] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[T]:
        return iter(self._members)

    @property
    def is_turning(self) -> bool:
        """Whether anybody is to be looked at."""
        return self._timer is not None

    def add(self, member: T) -> None:
        """Look at one more."""
        self._members.add(member)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.interval_s, self._turn)

    def discard(self, member: T) -> None:
        """Look at one no more."""
        self._members.discard(member)

    def stop(self) -> None:
        """Look at none until another one is added."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None and loop.time() - self._timer.when() > _STOOD_STILL_S:
            # The loop stood still: what came meanwhile is still to be read, and may be what is waited for.
            self._timer = loop.call_later(_READ_FIRST_S, self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        if not self._left:
            self._left = list(self._members)
            self._pause_s = self.interval_s / max(1, math.ceil(len(self._left) / _AT_ONCE))
        some = [member for member in self._left[-_AT_ONCE:] if member in self._members]
        del self._left[-_AT_ONCE:]
        loop = asyncio.get_running_loop()
        try:
            self._look(some, loop.time())
        finally:
            if self._members:
                self._timer = loop.call_later(self._pause_s, self._turn)
            else:
                self._left.clear()
                self._timer = None
