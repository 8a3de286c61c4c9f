"""A breaker: what failed several times in a row is left alone for a while, then tried by one request."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Literal

from lmaas_gateway.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

CircuitState = Literal["closed", "open", "trying"]


class Circuit:
    """Whether a store is worth asking. A store that is slow costs more than one that is dead: both open it.

    Who was admitted reports back exactly once: `note_success`, `note_failure`, or `release` if it learned
    nothing.

    Args:
        name: Of the store, for people.
        failures: In a row, until it opens.
        open_s: How long it stays open.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        open_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._opened_s: float | None = None
        self._is_trying = False

    @property
    def state(self) -> CircuitState:
        """`closed`: asked; `open`: left alone; `trying`: one request finds out."""
        if self._opened_s is None:
            return "closed"
        return "trying" if self._is_trying else "open"

    def admit(self) -> None:
        """Let a request through, or refuse it at once.

        Raises:
            StoreUnavailableError: the store is left alone, or another request is trying it.
        """
        if self._opened_s is None:
            return
        remaining_s = self._opened_s + self._open_s - self._clock()
        if self._is_trying or remaining_s > 0:
            raise StoreUnavailableError(
                f"The {self._name} failed several times in a row and is left alone; retry later.",
                retry_after_s=max(1, math.ceil(remaining_s)),
            )
        self._is_trying = True

    def note_success(self) -> None:
        """Take note of an answer."""
        self._failures = 0
        self._opened_s = None
        self._is_trying = False

    def note_failure(self) -> bool:
        """Take note of a failure; tell whether the circuit opened by it."""
        self._failures += 1
        was_closed = self._opened_s is None
        if self._is_trying or (was_closed and self._failures >= self._limit):
            self._opened_s = self._clock()
        self._is_trying = False
        return was_closed and self._opened_s is not None

    def release(self) -> None:
        """Take note that a request ended before it learned anything."""
        self._is_trying = False
