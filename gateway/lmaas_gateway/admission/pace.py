"""So many calls begin in one turn of the event loop: a flood of new ones must not hold up those under way."""

from __future__ import annotations

import asyncio
from collections import deque

_PER_TURN = 64
"""About five milliseconds of work."""


class Pace:
    """Lets calls begin in the order in which they came, at most a batch in one turn of the event loop.

    Without it a turn takes as long as everything that has come since the last: when thousands are to be
    refused, replies that are ready wait for all of them, and each place in a pool stays empty for as long.

    A batch is counted over as many turns as it takes, and then one turn of the loop is waited for: to begin
    anew with each turn would cost each of them a callback.

    Args:
        per_turn: How many calls begin in one turn.
    """

    def __init__(self, per_turn: int = _PER_TURN) -> None:
        self._per_turn = per_turn
        self._begun = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def may_begin(self) -> bool:
        """Begin a call if this turn has room for it; if not, `turn` must be waited for."""
        if self._begun >= self._per_turn:
            return False
        self._begun += 1
        return True

    async def turn(self) -> None:
        """Wait for a turn of the event loop that has room."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._next_turn)
        self._waiting.append(future)
        await future

    def _next_turn(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < self._per_turn:
            future = self._waiting.popleft()
            if not future.done():
                self._begun += 1
                future.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next_turn)
