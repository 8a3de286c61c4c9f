"""Places for work that is done for callers: so many at once, and of one tenant not all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable


class Places:
    """Counts what is under way.

    Args:
        most: At once.
        most_each: Of one tenant.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._most_each = most_each
        # A tenant's goes with the last of its places.
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def take(self, tenant: str) -> Callable[[], None]:
        """Wait for a place; give what gives it back."""
        own = self._own.setdefault(tenant, asyncio.Semaphore(self._most_each))
        await own.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            own.release()
            raise

        def give_back() -> None:
            self._all.release()
            own.release()

        return give_back
