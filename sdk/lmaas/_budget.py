"""A bound on what retries and hedges may add to the load of a server that is already in trouble."""

from __future__ import annotations

import time
from collections import deque
from threading import Lock
from typing import Final

from lmaas._timer import Clock

RATIO: Final = 0.1
"""Extra requests for each call, at most."""

RESERVE: Final = 10
"""Extra requests in a window that are always allowed, so that a client with few calls may retry too."""

WINDOW_S: Final = 60.0
_STEPS: Final = 12


class RetryBudget:
    """Counts calls and extra requests of the last minute, for all calls of a client together.

    In any window, extra requests stay within a tenth of the calls, or within a small reserve where that is
    more. Unlike a bucket that fills with time alone, it gives a storm no more than its share however long
    the storm lasts. Safe to share between threads.

    Source: Google, Site Reliability Engineering, ch. 21 "Handling Overload"; gRPC proposal A6.
    """

    def __init__(
        self, *, ratio: float = RATIO, reserve: int = RESERVE, clock: Clock = time.monotonic
    ) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._clock = clock
        self._lock = Lock()
        self._steps: deque[list[int]] = deque()  # number of the step, calls, extra requests
        self._calls = 0
        self._extra = 0

    def count_call(self) -> None:
        """Take note of a call: its first request is free, and earns a part of an extra one."""
        with self._lock:
            self._step()[1] += 1
            self._calls += 1

    def take(self) -> bool:
        """Tell whether one more request may be sent beyond the first of its call, and count it if so."""
        with self._lock:
            step = self._step()
            if self._extra + 1 > max(self._reserve, self._calls * self._ratio):
                return False
            step[2] += 1
            self._extra += 1
            return True

    def _step(self) -> list[int]:
        """Return the counts of now, having forgotten those that have left the window."""
        number = int(self._clock() * _STEPS / WINDOW_S)
        steps = self._steps
        if steps and steps[-1][0] == number:
            return steps[-1]
        while steps and steps[0][0] <= number - _STEPS:
            _, calls, extra = steps.popleft()
            self._calls -= calls
            self._extra -= extra
        steps.append([number, 0, 0])
        return steps[-1]
