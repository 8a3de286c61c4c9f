"""The one process of a gateway that watches: each second it looks, decides, tells and keeps what it knows."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.metrics import names
from lmaas_gateway.watching import messages
from lmaas_gateway.watching.alerts import AlertBook
from lmaas_gateway.watching.burn import PAIRS, budget_left, burn_rate, whole
from lmaas_gateway.watching.conditions import Restarts, availability, burning, failing, unexpected
from lmaas_gateway.watching.delivery import OUTCOMES, Pacing, Post
from lmaas_gateway.watching.history import Growth, History
from lmaas_gateway.watching.keeping import Kept
from lmaas_gateway.watching.sums import counts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.tallies import Tallies
    from lmaas_gateway.watching.burn import Counts, Objective
    from lmaas_gateway.watching.conditions import Canary, Condition
    from lmaas_gateway.watching.keeping import Keeping
    from lmaas_gateway.watching.plan import Plan
    from lmaas_gateway.watching.sending import Send

_LOG = logging.getLogger("lmaas.gateway")

INTERVAL_S = 1.0
_KEEP_EVERY_S = 60.0
# A machine that slept was not unavailable all the while, nor available.
_MAX_STEP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sights:
    """What is looked at.

    Attributes:
        pools: Gives the models that are served.
        totals: Gives the sums of all workers.
        canaries: Gives how canary prompts fared last.
    """

    pools: Callable[[], Iterable[Pool]]
    totals: Callable[[], Tallies]
    canaries: Callable[[], Iterable[Canary]] = tuple


class Watch:
    """Watches models and replicas, and tells webhooks.

    Args:
        keeping: Where it is kept.
        plan: What is wanted.
        sights: What it looks at.
        metrics: Shows what comes of it.
        send: Makes an attempt to tell a webhook.
        gateway: How messages call this one.
        pacing: Time and luck.
    """

    def __init__(
        self,
        keeping: Keeping,
        plan: Plan,
        sights: Sights,
        *,
        metrics: Metrics,
        send: Send,
        gateway: str,
        pacing: Pacing,
    ) -> None:
        self._keeping = keeping
        self._plan = plan
        self._sights = sights
        self._metrics = metrics
        self._gateway = gateway
        self._pacing = pacing
        kept = keeping.load()
        self._kept_histories = kept.histories
        self._growth = Growth(kept.last)
        self._book = AlertBook(kept.alerts)
        self._post = Post(send, count=self._count_delivery, pacing=pacing, undelivered=kept.undelivered)
        self._histories: dict[str, History] = {}
        self._restarts = Restarts()
        self._looked_at_s = self._kept_at_s = pacing.now()
        self._kept_alerts = b""
        self._is_replanned = True
        self._show()

    def follow(self, plan: Plan) -> None:
        """Watch by another configuration from the next look on."""
        self._plan = plan
        self._is_replanned = True

    async def run(self) -> None:
        """Look once a second until this is cancelled; what is kept then is for whoever comes after."""
        try:
            while True:
                await self._look_safely()
                await self._pacing.sleep(INTERVAL_S)
        finally:
            await self._post.close()
            self._keeping.save(self._keeping.encode(self._kept()))

    async def look(self) -> None:
        """Look once at everything, and tell what is new."""
        if self._is_replanned:
            await self._replan()
        at_s = self._pacing.now()
        self._count(at_s)
        self._count_time(at_s)
        rules = self._plan.rules
        for alert in self._book.update(self._conditions(at_s), at_s):
            _LOG.warning("alert %s: %s: %s", alert.state, alert.name, alert.summary)
        silences = self._keeping.silences()
        for alert in self._book.due(silences, at_s=at_s, renotify_s=rules.renotify_s):
            self._post.put(messages.write(alert, self._gateway, at_s), alert.severity)
        await self._keep(at_s)

    async def _replan(self) -> None:
        self._is_replanned = False
        await self._post.follow(self._plan.endpoints)
        # Prometheus sees no increase where a counter begins at 1.
        for endpoint in self._plan.endpoints:
            for outcome in OUTCOMES:
                self._metrics.count(names.WEBHOOK_ATTEMPTS, (endpoint.name, outcome), 0)

    async def _look_safely(self) -> None:
        try:
            await self.look()
        except Exception:
            # Whatever it is, the next look may be better; nobody else would tell of what is wrong.
            _LOG.exception("watching failed once; it goes on")

    def _conditions(self, at_s: float) -> Iterator[Condition]:
        pools = tuple(self._sights.pools())
        yield from failing(pools, self._plan.rules)
        restarted = self._restarts.look(pools, at_s)
        for place in self._restarts.known:
            self._metrics.count(names.ENGINE_RESTARTS, place, restarted.count(place))
        yield from self._restarts.conditions(at_s, self._plan.rules)
        yield from unexpected(self._sights.canaries())
        for objective in self._plan.objectives:
            yield from burning(objective, partial(self._history(objective).counts, at_s=at_s))

    def _history(self, objective: Objective) -> History:
        key = _key(objective)
        if key not in self._histories:
            kept = self._kept_histories.pop(key, None)
            self._histories[key] = History(objective.window_s, self._pacing.now(), kept)
        return self._histories[key]

    def _count(self, at_s: float) -> None:
        """Take in what has been counted since the last time, by all workers."""
        totals = self._sights.totals()
        for objective in self._plan.objectives:
            self._add(objective, self._growth.since_last(_key(objective), counts_of(objective, totals)), at_s)

    def _count_time(self, at_s: float) -> None:
        """Take in the time since the last look, for what is promised of time."""
        lasted_s = min(max(at_s - self._looked_at_s, 0.0), _MAX_STEP_S)
        self._looked_at_s = at_s
        pools = {pool.name: pool for pool in self._sights.pools()}
        for objective in self._plan.objectives:
            if objective.name == "availability" and (pool := pools.get(objective.model)):
                self._add(objective, availability(pool, lasted_s), at_s)

    def _add(self, objective: Objective, counts: Counts, at_s: float) -> None:
        self._history(objective).add(counts, at_s)
        labels = (objective.model, objective.name)
        self._metrics.count(names.SLO_EVENTS, labels, counts.total)
        self._metrics.count(names.SLO_BAD_EVENTS, labels, counts.bad)

    async def _keep(self, at_s: float) -> None:
        """Keep alerts as soon as they change, and counts now and then."""
        alerts = msgspec.msgpack.encode((self._book.alerts(), self._post.undelivered()))
        if alerts == self._kept_alerts and 0 <= at_s - self._kept_at_s < _KEEP_EVERY_S:
            return
        self._kept_alerts, self._kept_at_s = alerts, at_s
        await asyncio.to_thread(self._keeping.save, self._keeping.encode(self._kept()))

    def _kept(self) -> Kept:
        keys = [_key(objective) for objective in self._plan.objectives]
        last = self._growth.kept()
        return Kept(
            alerts=self._book.alerts(),
            histories={key: self._histories[key].kept() for key in keys if key in self._histories},
            last={key: last[key] for key in keys if key in last},
            undelivered=self._post.undelivered(),
        )

    def _count_delivery(self, webhook: str, outcome: str) -> None:
        self._metrics.count(names.WEBHOOK_ATTEMPTS, (webhook, outcome))

    def _show(self) -> None:
        """Show what is known as metrics."""
        self._metrics.watch(names.ALERTS, self._alert_counts)
        self._metrics.watch(names.SLO_OBJECTIVE, self._promises)
        self._metrics.watch(names.SLO_BURN_RATE, self._burn_rates)
        self._metrics.watch(names.SLO_BUDGET, self._budgets)
        self._metrics.watch(names.WEBHOOK_WAITING, self._waiting)

    def _alert_counts(self) -> Iterator[tuple[tuple[str, ...], float]]:
        counts: dict[tuple[str, ...], float] = {}
        for alert in self._book.alerts():
            if alert.state != "resolved":
                labels = (alert.name, alert.model, alert.severity, alert.state)
                counts[labels] = counts.get(labels, 0.0) + 1
        yield from counts.items()

    def _promises(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for objective in self._plan.objectives:
            yield (objective.model, objective.name), objective.objective

    def _burn_rates(self) -> Iterator[tuple[tuple[str, ...], float]]:
        at_s = self._pacing.now()
        for objective in self._plan.objectives:
            for pair in PAIRS:
                counts = self._counts(objective, pair.long_s, at_s)
                labels = (objective.model, objective.name, pair.name)
                yield labels, burn_rate(counts, objective.objective)

    def _budgets(self) -> Iterator[tuple[tuple[str, ...], float]]:
        at_s = self._pacing.now()
        for objective in self._plan.objectives:
            counts = self._counts(objective, objective.window_s, at_s)
            yield (objective.model, objective.name), budget_left(objective, counts)

    def _counts(self, objective: Objective, window_s: float, at_s: float) -> Counts:
        return whole(objective, self._history(objective).counts(window_s, at_s), window_s)

    def _waiting(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for name, waiting in self._post.undelivered().items():
            yield (name,), len(waiting)


def _key(objective: Objective) -> str:
    """Name an objective; one with another threshold is another, of which nothing has been counted yet."""
    return f"{objective.model}|{objective.name}|{objective.threshold_s or ''}"
