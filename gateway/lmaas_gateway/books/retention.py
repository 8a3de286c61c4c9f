"""Takes calls out of the ledger once they are old enough; their sums by day stay."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger("lmaas.gateway")
_INTERVAL_S = 3600.0
# Between two transactions, so that a long overdue cleaning leaves the store to others.
_BREATH_S = 0.05
_DAY_US = 86_400_000_000


class Forgetful(Protocol):
    """What calls are taken out of."""

    async def drop_before(self, at_us: int) -> int:
        """Delete some of the calls from before a time; tell how many.

        Raises:
            Exception: none were.
        """
        ...


class Retention:
    """Drops old calls, once an hour. Several processes may: what one has dropped the other does not find.

    Args:
        ledger: What they are dropped from.
        days: How long they are kept.
        clock: Unix seconds.
    """

    def __init__(self, ledger: Forgetful, days: int, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._kept_us = days * _DAY_US
        self._clock = clock

    async def run(self) -> None:
        """Drop for ever."""
        while True:
            try:
                await self.drop()
            except Exception as error:  # the next round tries again
                _LOG.warning("old calls could not be dropped from the ledger: %s", type(error).__name__)
            await asyncio.sleep(_INTERVAL_S)

    async def drop(self) -> int:
        """Drop what is too old now; tell how many calls that was.

        Raises:
            Exception: the ledger failed; what was dropped stays dropped.
        """
        dropped = 0
        until_us = int(self._clock() * 1e6) - self._kept_us
        while some := await self._ledger.drop_before(until_us):
            dropped += some
            await asyncio.sleep(_BREATH_S)
        return dropped
