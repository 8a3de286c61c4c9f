"""What a replica's answers say of its health: one that fails too often is ejected, one that asks is spared.

A failure that a replica tells of itself may be the call's fault: it is a doubt, and nothing more, until
another replica's answer to the same call, or a trial, has shown whose it is.

A breaker only counts and remembers; `pool.py` decides whether the pool can spare the replica, and
`health.py` asks an ejected one, when its time is over, whether it can work again.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from lmaas_gateway.settings import EjectionSettings

if TYPE_CHECKING:
    from collections.abc import Callable

TRIAL_INTERVAL_S = 1.0
"""A replica in doubt is tried out no more often than this, however many bad calls come."""

_NEVER_S = float("-inf")
# So many of the last failures are looked at; more would say nothing new of a replica.
_MAX_FAILURES = 64
# An ejection this many times its base ago no longer makes the next one longer.
_FORGOTTEN_AFTER = 10


class Breaker:
    """The record of one replica.

    Args:
        rules: When it is ejected, and for how long.
        clock: Monotonic seconds.

    Attributes:
        is_tripped: It is ejected, or was asked to be left alone and may still be: look closer before a call.
        is_ejected: It takes no calls until a probe has passed.
        consecutive_failures: Since the last call that went well.
        doubts: Failures since then that may be the fault of their calls.
        ejections: How often it was ejected, since the start.
    """

    __slots__ = (
        "_clock",
        "_cooled_until_s",
        "_ejected_until_s",
        "_failures",
        "_found_ill_after",
        "_readmitted_s",
        "_row",
        "_rules",
        "_settled_s",
        "_successes",
        "consecutive_failures",
        "doubts",
        "ejections",
        "is_ejected",
        "is_tripped",
    )

    def __init__(
        self, rules: EjectionSettings | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules = rules or EjectionSettings()
        self._clock = clock
        self._successes = 0
        # When each of the last failures was, and how many calls had gone well before it.
        self._failures: deque[tuple[float, int]] = deque(maxlen=_MAX_FAILURES)
        # How many calls had gone well when a trial failed.
        self._found_ill_after = -1
        self._row = 0
        self._readmitted_s = self._ejected_until_s = self._cooled_until_s = self._settled_s = _NEVER_S
        self.consecutive_failures = self.doubts = 0
        self.ejections = 0
        self.is_ejected = self.is_tripped = False

    @property
    def is_suspect(self) -> bool:
        """Whether it failed so often in a row that only the lack of others keeps it in service."""
        return self.consecutive_failures >= self._rules.consecutive_failures or self.is_doubted

    @property
    def is_trusted(self) -> bool:
        """Whether a failure that it tells of may be the call's: no trial failed since a call went well."""
        return self._found_ill_after != self._successes

    @property
    def is_doubted(self) -> bool:
        """Whether so many calls in a row may have failed by its fault that it must be tried out."""
        return self.doubts >= self._rules.consecutive_failures

    @property
    def is_probe_due(self) -> bool:
        """Whether it has been ejected for long enough to be asked again."""
        return self.is_ejected and self._clock() >= self._ejected_until_s

    @property
    def is_trial_due(self) -> bool:
        """Whether it is in doubt and was not tried out just now."""
        return self.is_doubted and self._clock() - self._settled_s >= TRIAL_INTERVAL_S

    def follow(self, rules: EjectionSettings) -> None:
        """Go by other rules from now on."""
        self._rules = rules

    def note_success(self) -> None:
        """Take note of a call that went well."""
        self.consecutive_failures = self.doubts = 0
        self._successes += 1

    def note_doubt(self) -> bool:
        """Take note of a failure that may be the call's fault; tell whether there are now too many."""
        self.doubts += 1
        return self.doubts == self._rules.consecutive_failures

    def dispel_doubt(self) -> None:
        """Take note that a failure that might have been its call's fault was its own."""
        if self.doubts:
            self.doubts -= 1

    def settle(self, *, is_well: bool) -> None:
        """Take note of the trial of a replica that was in doubt."""
        self._settled_s = self._clock()
        self.doubts = 0
        if not is_well:
            self._found_ill_after = self._successes
            self.note_failure()

    def note_failure(self) -> bool:
        """Take note of a call that failed by the replica's fault; tell whether it now fails too often."""
        rules = self._rules
        now = self._clock()
        failures = self._failures
        self.consecutive_failures += 1
        failures.append((now, self._successes))
        while failures[0][0] < now - rules.window_s:
            failures.popleft()
        # Of the calls since the oldest failure in sight: what went well before says nothing of what is now.
        failed = len(failures) - 1
        calls = failed + self._successes - failures[0][1]
        is_often = calls >= rules.min_calls and failed * 100 > calls * rules.failure_percent
        return is_often or self.consecutive_failures >= rules.consecutive_failures

    def eject(self) -> None:
        """Take it out of service; each time in a row for longer."""
        now = self._clock()
        if now - self._readmitted_s > self._rules.base_s * _FORGOTTEN_AFTER:
            self._row = 0
        self._row += 1
        self.ejections += 1
        self._eject_for(now)

    def extend(self) -> None:
        """Leave it out of service for longer: its probe has failed."""
        self._row += 1
        self._eject_for(self._clock())

    def readmit(self) -> None:
        """Take it back into service: its probe has passed."""
        self._readmitted_s = self._clock()
        self._failures.clear()
        self._found_ill_after = -1
        self.consecutive_failures = self.doubts = 0
        self.is_ejected = False
        self.is_tripped = self.is_cooling()

    def cool(self, seconds: float) -> None:
        """Leave it alone for as long as it asks, within bounds."""
        until_s = self._clock() + min(seconds, self._rules.max_cooling_s)
        self._cooled_until_s = max(self._cooled_until_s, until_s)
        self.is_tripped = True

    def is_cooling(self) -> bool:
        """Tell whether it still wants to be left alone."""
        is_cooling = self._clock() < self._cooled_until_s
        self.is_tripped = is_cooling or self.is_ejected
        return is_cooling

    def remaining_s(self) -> float:
        """Give the seconds until it may take calls again, as far as that is known; 0 if it may now."""
        until_s = max(self._cooled_until_s, self._ejected_until_s if self.is_ejected else _NEVER_S)
        return max(0.0, until_s - self._clock())

    def _eject_for(self, now: float) -> None:
        self._ejected_until_s = now + min(self._rules.base_s * self._row, self._rules.max_s)
        self.is_ejected = self.is_tripped = True
