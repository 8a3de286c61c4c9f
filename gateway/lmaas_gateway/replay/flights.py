"""Single flight: of equal calls at the same time one works, the others wait for what it gets."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lmaas_gateway.replay.replies import Recorded

Turn = Literal["lead", "alone", "late"]
"""`lead`: work, and `land`, `fail` or `disband` in the end. `alone`: work for oneself. `late`: give up."""


class Flights:
    """The calls that others wait for, by key.

    Args:
        max_wait_s: Who has waited this long works for itself.
    """

    def __init__(self, max_wait_s: float) -> None:
        self._max_wait_s = max_wait_s
        # A dict, because who leaves must be found among many.
        self._followers: dict[bytes, dict[asyncio.Future[Recorded | Turn], None]] = {}

    def __len__(self) -> int:
        return len(self._followers)

    async def join(self, key: bytes, left_s: float = math.inf) -> Recorded | Turn:
        """Lead if nobody works on `key`; else wait for the leader's reply, or to be the next leader.

        Args:
            key: Of equal calls.
            left_s: Until the caller's own deadline.
        """
        followers = self._followers.get(key)
        if followers is None:
            self._followers[key] = {}
            return "lead"
        follower: asyncio.Future[Recorded | Turn] = asyncio.get_running_loop().create_future()
        followers[follower] = None
        try:
            async with asyncio.timeout(min(self._max_wait_s, left_s)):
                return await follower
        except TimeoutError:
            self._leave(key, followers, follower)
            return "alone" if self._max_wait_s <= left_s else "late"
        except asyncio.CancelledError:
            self._leave(key, followers, follower)
            raise

    def land(self, key: bytes, recorded: Recorded) -> None:
        """Give the leader's reply to all who wait."""
        self._release(key, recorded)

    def disband(self, key: bytes) -> None:
        """Let all who wait work for themselves: there will be no reply that could be shared."""
        self._release(key, "alone")

    def fail(self, key: bytes) -> None:
        """Make the one who has waited longest the leader."""
        followers = self._followers[key]
        while followers:
            follower = next(iter(followers))
            del followers[follower]
            if not follower.done():
                follower.set_result("lead")
                return
        del self._followers[key]

    def _release(self, key: bytes, result: Recorded | Turn) -> None:
        for follower in self._followers.pop(key):
            if not follower.done():
                follower.set_result(result)

    def _leave(
        self,
        key: bytes,
        followers: dict[asyncio.Future[Recorded | Turn], None],
        follower: asyncio.Future[Recorded | Turn],
    ) -> None:
        followers.pop(follower, None)
        # It was made the leader in the moment in which it left: the next one is.
        if not follower.cancelled() and follower.done() and follower.result() == "lead":
            self.fail(key)
