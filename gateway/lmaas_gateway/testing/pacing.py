"""Time in a fast replica: streams at a steady pace, and an engine that serves so many calls at once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK_S = 0.001
_MAX_GROUPS = 64


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast a fast replica is; 0 is as fast as the loop turns.

    Attributes:
        first_token_s: Seconds to the first token of a stream, or to a whole plain reply.
        token_gap_s: Seconds between two tokens of a stream.
        groups: In how many groups streams go on, one group at a time, as the batches of so many engines do;
            0 spreads them out as they came.
        is_stamped: Whether each token's text is the time it was sent: microseconds of the monotonic clock.
    """

    first_token_s: float = 0.0
    token_gap_s: float = 0.0
    groups: int = 0
    is_stamped: bool = False


class Timers(Protocol):
    """What a wheel needs of an event loop."""

    def time(self) -> float:
        """Tell the time, in seconds."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> object:
        """Call back at that time."""


class Paced(Protocol):
    """A stream that a wheel turns."""

    def step(self, token: bytes) -> None:
        """Send one more token."""


class Wheel:
    """Steps every stream once a period, with one timer for all of them.

    A stream takes the place that has just gone by, so streams stay apart as far as they came apart.

    Args:
        loop: Gives the time.
        timing: Period and groups.
        token: Makes the token that all streams of one turn send.
    """

    def __init__(self, loop: Timers, timing: Timing, token: Callable[[], bytes]) -> None:
        self._loop = loop
        self._token = token
        count = timing.groups or min(max(round(timing.token_gap_s / _TICK_S), 1), _MAX_GROUPS)
        self._groups: list[dict[Paced, None]] = [{} for _ in range(count)]
        self._tick_s = timing.token_gap_s / count
        self._at = 0
        self._due_s = 0.0
        self._is_turning = False

    def add(self, stream: Paced) -> Callable[[], None]:
        """Step `stream` once a period, first a period from now; return what takes it off."""
        group = self._groups[self._at - 1]
        group[stream] = None
        if not self._is_turning:
            self._is_turning = True
            self._due_s = self._loop.time() + self._tick_s
            self._loop.call_at(self._due_s, self._turn)

        def remove() -> None:
            group.pop(stream, None)

        return remove

    def _turn(self) -> None:
        while self._due_s <= self._loop.time():
            if group := self._groups[self._at]:
                token = self._token()
                for stream in tuple(group):
                    stream.step(token)
            self._at = (self._at + 1) % len(self._groups)
            self._due_s += self._tick_s
        self._is_turning = any(self._groups)
        if self._is_turning:
            self._loop.call_at(self._due_s, self._turn)


class Capacity:
    """So many calls at once, so many more that wait, and no others: vLLM's `--max-num-queued-reqs`.

    Args:
        slots: Calls that are served at once; 0 serves all.
        queue: Calls that may wait for a slot.
    """

    def __init__(self, slots: int, queue: int) -> None:
        self._slots = slots
        self._queue = queue
        self._running = 0
        self._waiting: deque[Callable[[], bool]] = deque()

    def enter(self, serve: Callable[[], bool]) -> bool:
        """Call `serve` now or later; give False if there is no room.

        What `serve` returns tells whether it takes the slot.
        """
        if not self._slots or self._running < self._slots:
            self._running += serve()
            return True
        if len(self._waiting) >= self._queue:
            return False
        self._waiting.append(serve)
        return True

    def leave(self) -> None:
        """Free a slot, and serve who waits for it."""
        self._running -= 1
        while self._waiting and self._running < self._slots:
            self._running += self._waiting.popleft()()

    @property
    def running(self) -> int:
        """How many calls are served now."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many calls wait, those included whose clients have gone."""
        return len(self._waiting)
