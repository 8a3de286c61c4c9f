"""How late the event loop is: whatever blocks it delays every call, and shows nowhere else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL_S = 0.25


class LoopWatch:
    """Sets a timer again and again, and sees how late it comes.

    Args:
        observe: Takes each delay, in seconds.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the loop that runs."""
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + _INTERVAL_S
        self._timer = loop.call_at(self._due_s, self._look)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._observe(max(0.0, asyncio.get_running_loop().time() - self._due_s))
        self.start()


def count_tasks() -> int:
    """Count the tasks of the loop that runs; 0 outside of one."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
