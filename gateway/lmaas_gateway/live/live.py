"""The numbers of now, over all workers: one look a second, shared by everybody who watches."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.live.fleet import FleetNow, waiting_of
from lmaas_gateway.live.history import KEPT_S, History
from lmaas_gateway.live.sums import Sums, read_sums
from lmaas_gateway.live.view import LiveView, Second
from lmaas_gateway.metrics import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.tallies import Tallies

DEFAULT_WINDOW_S = 60
# The others' counts of a second are there by then: all workers leave them when it ends.
_LOOK_AFTER_S = 0.5
_BOUNDS = {
    "ttft": names.FIRST_TOKEN.buckets,
    "inter_token": names.INTER_TOKEN.buckets,
    "duration": names.DURATION.buckets,
    "queue_wait": names.QUEUE_WAIT.buckets,
}
_ENCODER = msgspec.json.Encoder()


class Live:
    """Looks at the counts of all workers once a second, and remembers the last quarter of an hour.

    Args:
        metrics: What is counted; left for the other workers at the end of each second.
        pools: Gives the models that are served.
        clock: Unix seconds.
        pause: Waits for so many seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        pools: Callable[[], Mapping[str, Pool]],
        *,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._metrics = metrics
        self._pools = pools
        self._clock = clock
        self._pause = pause
        self._totals = metrics.totals()
        self._history = History(int(clock()), read_sums(self._totals))
        self._views: dict[tuple[int, bool], LiveView] = {}
        self._encoded: dict[int, bytes] = {}
        self._ticked = asyncio.Event()
        self.is_over = False

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._pause(self._until(0.0))
            with contextlib.suppress(OSError):
                self._metrics.publish()
            await self._pause(self._until(_LOOK_AFTER_S))
            with contextlib.suppress(OSError):
                self.look()

    def look(self) -> None:
        """Take note of the second that has ended, and wake those who wait for it."""
        self._totals = self._metrics.totals()
        second = max(int(self._clock()), self._history.second + 1)
        self._history.add(second, read_sums(self._totals), self._load())
        self._views, self._encoded = {}, {}
        ticked, self._ticked = self._ticked, asyncio.Event()
        ticked.set()

    def end(self) -> None:
        """Let everybody who watches go."""
        self.is_over = True
        self._ticked.set()

    @property
    def totals(self) -> Tallies:
        """The sums of all workers, as they were at the last look."""
        return self._totals

    def snapshot(self, window_s: int = DEFAULT_WINDOW_S, *, has_seconds: bool = False) -> LiveView:
        """Describe the gateway as it was when it was last looked at, at most a second ago.

        Args:
            window_s: How far back to look, from 1 to 900 seconds.
            has_seconds: Whether to tell of each second.
        """
        key = (max(1, min(window_s, KEPT_S)), has_seconds)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = self._describe(*key)
        return view

    def encoded(self, window_s: int = DEFAULT_WINDOW_S) -> bytes:
        """Give the same as JSON, encoded once for all who ask for it in this second."""
        found = self._encoded.get(window_s)
        if found is None:
            found = self._encoded[window_s] = _ENCODER.encode(self.snapshot(window_s))
        return found

    async def next(self, window_s: int = DEFAULT_WINDOW_S) -> LiveView:
        """Wait for the next look, which comes once a second, and give what it saw."""
        await self._ticked.wait()
        return self.snapshot(window_s)

    async def events(self, window_s: int = DEFAULT_WINDOW_S) -> AsyncIterator[bytes]:
        """Give the views as server-sent events, now and after each look, until the gateway stops."""
        while not self.is_over:
            yield b"data: %b\n\n" % self.encoded(window_s)
            await self._ticked.wait()

    def _until(self, fraction_s: float) -> float:
        """Tell how long it is until the clock is so far behind a full second."""
        return 1.0 - (self._clock() - fraction_s) % 1.0

    def _load(self) -> tuple[int, int]:
        """Count the calls at replicas, and those that wait for one, of all workers."""
        in_flight = sum(replica.load()[1] for pool in self._pools().values() for replica in pool.replicas)
        return in_flight, sum(waiting_of(self._totals.gauges).values())

    def _describe(self, window_s: int, has_seconds: bool) -> LiveView:  # noqa: FBT001  # a part of a key
        history = self._history
        start, covered_s = history.second - window_s, history.covered_s(window_s)
        in_flight, waiting = self._load()
        fleet = FleetNow(
            history.since(start),
            covered_s,
            gauges=self._totals.gauges,
            capacities=self._metrics.gauge(names.CAPACITY),
        )
        return LiveView(
            at=history.second,
            window_s=window_s,
            covered_s=covered_s,
            bounds=_BOUNDS,
            total=history.total.since(start).flow(covered_s),
            in_flight=in_flight,
            waiting=waiting,
            models=fleet.models(self._pools().values()),
            last=self._seconds(history.second - 1)[-1],
            seconds=self._seconds(start) if has_seconds else (),
        )

    def _seconds(self, after: int) -> tuple[Second, ...]:
        history = self._history
        counted = dict(history.total.by_second(after))
        first = max(after, min(history.first, history.second - 1)) + 1
        return tuple(
            _second(at, counted.get(at, Sums()), history.loads.get(at, (0, 0)))
            for at in range(first, history.second + 1)
        )


def _second(at: int, sums: Sums, load: tuple[int, int]) -> Second:
    return Second(
        at=at,
        calls=sums.calls,
        errors=sums.errors,
        prompt_tokens=sums.count(names.PROMPT_TOKENS),
        completion_tokens=sums.count(names.COMPLETION_TOKENS),
        ttft_p50_s=sums.quantile(names.FIRST_TOKEN, 0.5),
        ttft_p95_s=sums.quantile(names.FIRST_TOKEN, 0.95),
        inter_token_p50_s=sums.quantile(names.INTER_TOKEN, 0.5),
        in_flight=load[0],
        waiting=load[1],
    )
