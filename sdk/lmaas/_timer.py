"""The deadlines of one call, and which of them ends first."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from typing import Final, TypeAlias

from lmaas._options import Timeout
from lmaas.errors import APITimeoutError, Deadline

Clock: TypeAlias = Callable[[], float]
"""Seconds that only grow, such as `time.monotonic`."""

_WAITED_FOR: Final[dict[Deadline, str]] = {
    "total": "The call did not end",
    "connect": "No connection was made",
    "pool": "No connection of the pool came free",
    "first_token": "The first event of the stream did not come",
    "inter_token": "The next event of the stream did not come",
}


class Timer:
    """Started with a call, asked before each wait for the network."""

    def __init__(self, timeout: Timeout, clock: Clock, *, is_stream: bool) -> None:
        self.timeout = timeout
        self._clock = clock
        self._started_at = started_at = clock()
        self._total_at = math.inf if timeout.total is None else started_at + timeout.total
        self._event_at = math.inf
        self._awaited: Deadline = "first_token"
        self._wake: Callable[[], None] | None = None
        if is_stream and timeout.first_token is not None:
            self._event_at = started_at + timeout.first_token

    def remaining_s(self) -> float | None:
        """Seconds until the first deadline, 0 or less when it has passed, None without one."""
        at = min(self._total_at, self._event_at)
        return None if at == math.inf else at - self._clock()

    def is_over(self) -> bool:
        """Tell whether a deadline has passed."""
        remaining_s = self.remaining_s()
        return remaining_s is not None and remaining_s <= 0

    def await_next_event(self) -> None:
        """Start the inter-token timer: from now on a next event of the stream is waited for."""
        self._awaited = "inter_token"
        allowed_s = self.timeout.inter_token
        self._event_at = math.inf if allowed_s is None else self._clock() + allowed_s

    def allow_at_most(self, seconds: float) -> None:
        """Bring the end near: what is still to come is worth no more than `seconds`."""
        self._event_at = self._clock() + seconds

    def twin(self) -> Timer:
        """Return a timer with the same deadlines that can be cancelled on its own."""
        return copy(self)

    def bounded(self, seconds: float) -> Timer:
        """Return a timer that is over after `seconds`, if not sooner: for one try of the call."""
        one = copy(self)
        one.allow_at_most(min(seconds, self._event_at - self._clock()))
        return one

    def unbound(self, whole: Timer) -> None:
        """Take on the deadlines of the `whole` call: the try has begun to be answered."""
        self._event_at = whole._event_at

    def restarted(self) -> Timer:
        """Return a timer for the call begun anew: its end is where it was, its first event is awaited."""
        one = copy(self)
        one.await_first_event()
        return one

    def await_first_event(self) -> None:
        """Start the first-token timer: the call has only now been sent."""
        self._awaited = "first_token"
        allowed_s = self.timeout.first_token
        self._event_at = math.inf if allowed_s is None else self._clock() + allowed_s

    def waits(self, wake: Callable[[], None] | None) -> None:
        """Name what ends the wait that begins, should the call be cancelled in it; None: it is over."""
        self._wake = wake

    def cancel(self) -> None:
        """End the call at once, from any thread: its time is over, and its wait is ended."""
        self._total_at = -math.inf
        wake = self._wake
        if wake is not None:
            wake()

    def error(self, deadline: Deadline | None = None) -> APITimeoutError:
        """Return the error for `deadline`; without one, for the deadline that ends first."""
        name: Deadline = deadline or ("total" if self._total_at <= self._event_at else self._awaited)
        limit_s = self.timeout.total if name == "pool" else getattr(self.timeout, name)
        waited_s = self._clock() - self._started_at
        allowed = "in time" if limit_s is None else f"within {limit_s:g} s"
        error = APITimeoutError(
            f"{_WAITED_FOR[name]} {allowed} (timeout `{name}`; {waited_s:.1f} s since the call)."
        )
        error.deadline = name
        return error
