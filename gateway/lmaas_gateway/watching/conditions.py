"""What is wrong right now, out of what is known of models and replicas: plain functions, without memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import msgspec

from lmaas_gateway.watching.burn import Counts, judge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from lmaas_gateway.replicas.pool import Pool, Replica
    from lmaas_gateway.settings import AlertSettings, Severity
    from lmaas_gateway.watching.burn import Burning, Objective, Over

AlertName = Literal["SloBurnRate", "ModelUnavailable", "ReplicaDown", "ReplicaEjected", "EngineRestarted"]

_UNAVAILABLE = frozenset({"unavailable", "failed"})
_TEXTS = {
    "ttft": "first tokens that came too late",
    "inter_token": "pauses between tokens that were too long",
    "error_rate": "calls that failed",
    "availability": "time without a replica that takes calls",
}


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong right now.

    Attributes:
        for_s: How long it must be so before it is an alert.
        value: The figure that it is about.
    """

    name: AlertName
    model: str
    replica: str | None = None
    slo: str | None = None
    severity: Severity
    summary: str
    for_s: float = 0.0
    value: float = 0.0

    @property
    def id(self) -> str:
        """What stands for it: the same whenever the same thing is wrong with the same thing."""
        parts = (self.name, self.model, self.replica or "", self.slo or "", self.severity)
        return "alrt_" + hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def burning(objective: Objective, over: Over) -> Iterator[Condition]:
    """Tell if the budget of an objective is used up too fast: one condition, the most urgent."""
    found = judge(objective, over)
    if found is not None:
        yield Condition(
            name="SloBurnRate",
            model=objective.model,
            slo=objective.name,
            severity=found.pair.severity,
            summary=_tell(objective, found),
            value=round(found.burn_rate, 3),
        )


def _tell(objective: Objective, found: Burning) -> str:
    share = found.counts.bad / found.counts.total
    return (
        f"{objective.model}: {share:.3g} of the last {found.pair.name} were {_TEXTS[objective.name]}, where "
        f"{1 - objective.objective:.3g} may be; the budget of {objective.window_s / 86400:g} days is used up "
        f"{found.burn_rate:.3g} times too fast"
    )


def failing(pools: Iterable[Pool], rules: AlertSettings) -> Iterator[Condition]:
    """Tell which models and replicas do not take calls although they should."""
    for pool in pools:
        if pool.state in _UNAVAILABLE:
            yield Condition(
                name="ModelUnavailable",
                model=pool.name,
                severity="page",
                summary=f"{pool.name}: no replica takes calls",
                for_s=rules.replica_down_s,
            )
        for replica in pool.replicas:
            yield from _failing(pool, replica, rules)


def _failing(pool: Pool, replica: Replica, rules: AlertSettings) -> Iterator[Condition]:
    if replica.state == "down":
        is_given_up = any(launch.state == "failed" for launch in pool.launches())
        yield Condition(
            name="ReplicaDown",
            model=pool.name,
            replica=replica.name,
            severity="ticket",
            summary=f"{replica.name} of {pool.name} is down: {replica.problem}",
            for_s=rules.replica_down_s if replica.was_ready or is_given_up else rules.replica_start_s,
        )
    elif replica.state == "ejected":
        yield Condition(
            name="ReplicaEjected",
            model=pool.name,
            replica=replica.name,
            severity="ticket",
            summary=f"{replica.name} of {pool.name} is left out: it answers its health check and fails calls",
        )


class Restarts:
    """Remembers when engines were started again: whoever was launched here, or tells when it began."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, float | None]] = {}
        self._restarted_at_s: dict[tuple[str, str], float] = {}

    def look(self, pools: Iterable[Pool], at_s: float) -> list[tuple[str, str]]:
        """Take note of how engines stand; give model and replica of those that were started again."""
        seen = dict(_engines(pools))
        found = [key for key, now in seen.items() if _is_another(self._known.get(key), now)]
        self._known = {key: _latest(self._known.get(key), now) for key, now in seen.items()}
        self._restarted_at_s |= dict.fromkeys(found, at_s)
        return found

    @property
    def known(self) -> Collection[tuple[str, str]]:
        """Model and replica of all engines that were looked at last."""
        return self._known.keys()

    def conditions(self, at_s: float, rules: AlertSettings) -> Iterator[Condition]:
        """Tell which engines were started again lately."""
        self._restarted_at_s = {
            key: then_s
            for key, then_s in self._restarted_at_s.items()
            if key in self._known and at_s - then_s < rules.restart_s
        }
        for model, replica in self._restarted_at_s:
            yield Condition(
                name="EngineRestarted",
                model=model,
                replica=replica,
                severity="ticket",
                summary=f"the engine of {replica} of {model} was started again",
            )


def _engines(pools: Iterable[Pool]) -> Iterator[tuple[tuple[str, str], tuple[int, float | None]]]:
    for pool in pools:
        launches = pool.launches()
        for number, replica in enumerate(pool.replicas):
            restarts = launches[number].restarts if number < len(launches) else 0
            started_at = None if replica.stats is None else replica.stats.started_at
            yield (pool.name, replica.name), (restarts, started_at)


def _is_another(before: tuple[int, float | None] | None, now: tuple[int, float | None]) -> bool:
    if before is None:
        return False
    # What was launched here is counted once, when its end was seen, and not again when it says when it began.
    if now[0] or before[0]:
        return now[0] > before[0]
    return None not in {before[1], now[1]} and before[1] != now[1]


def _latest(
    before: tuple[int, float | None] | None, now: tuple[int, float | None]
) -> tuple[int, float | None]:
    """Keep when an engine began while it does not tell: it is not asked while it is down."""
    if before is None or now[1] is not None:
        return now
    return now[0], before[1]


def availability(pool: Pool, lasted_s: float) -> Counts:
    """Count a stretch of time as one in which a model could be called, or not; not while it is not to be."""
    if pool.state in {"starting", "stopped"}:
        return Counts()
    return Counts(lasted_s if pool.state in _UNAVAILABLE else 0.0, lasted_s)
