"""What is wrong right now, out of what is known of models and replicas: plain functions, without memory."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from lmaas_gateway.replicas.pool import SUSPECT_AFTER_S
from lmaas_gateway.watching.burn import Counts, judge
from lmaas_gateway.wording import Said, sentences_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from lmaas_gateway.replicas.pool import LaunchStatus, Pool, Replica
    from lmaas_gateway.settings import AlertSettings, Severity
    from lmaas_gateway.watching.burn import Burning, Objective, Over

AlertName = Literal[
    "SloBurnRate",
    "ModelUnavailable",
    "ReplicaDown",
    "ReplicaSuspect",
    "ReplicaEjected",
    "EngineRestarted",
    "CanaryFailing",
]

_UNAVAILABLE = frozenset({"unavailable", "failed"})


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong right now.

    Attributes:
        canary: The canary prompt that it is about.
        said: What is wrong, to be put into words.
        for_s: How long it must be so before it is an alert.
        value: The figure that it is about.
    """

    name: AlertName
    model: str
    replica: str | None = None
    slo: str | None = None
    canary: str | None = None
    severity: Severity
    said: Said
    for_s: float = 0.0
    value: float = 0.0

    @property
    def summary(self) -> str:
        """What is wrong, in English."""
        return sentences_of("en").tell(self.said)

    @property
    def id(self) -> str:
        """What stands for it: the same whenever the same thing is wrong with the same thing."""
        parts = [self.name, self.model, self.replica or "", self.slo or "", self.severity]
        if self.canary is not None:
            parts.append(self.canary)
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
            said=_tell(objective, found),
            value=round(found.burn_rate, 3),
        )


def _tell(objective: Objective, found: Burning) -> Said:
    values = {
        "model": objective.model,
        "share": f"{found.counts.bad / found.counts.total:.3g}",
        "window": found.pair.name,
        "allowed": f"{1 - objective.objective:.3g}",
        "days": f"{objective.window_s / 86400:g}",
        "times": f"{found.burn_rate:.3g}",
    }
    return Said(f"alerts.burning.{objective.name}", values)


def failing(pools: Iterable[Pool], rules: AlertSettings) -> Iterator[Condition]:
    """Tell which models and replicas do not take calls although they should."""
    for pool in pools:
        if pool.state in _UNAVAILABLE:
            yield Condition(
                name="ModelUnavailable",
                model=pool.name,
                severity="page",
                said=Said("alerts.unavailable", {"model": pool.name}),
                for_s=rules.replica_down_s,
            )
        for replica in pool.replicas:
            yield from _failing(pool, replica, rules)


def _failing(pool: Pool, replica: Replica, rules: AlertSettings) -> Iterator[Condition]:
    place = {"model": pool.name, "replica": replica.name}
    if replica.state == "down":
        launch = _launches(pool).get(replica.seed)
        is_given_up = launch is not None and launch.state == "failed"
        yield Condition(
            name="ReplicaDown",
            model=pool.name,
            replica=replica.name,
            severity="ticket",
            said=Said("alerts.down", {**place, "problem": replica.problem}),
            for_s=rules.replica_down_s if replica.was_ready or is_given_up else rules.replica_start_s,
        )
    elif replica.state == "ejected":
        yield Condition(
            name="ReplicaEjected",
            model=pool.name,
            replica=replica.name,
            severity="ticket",
            said=Said("alerts.ejected", place),
        )
    # It stays suspect while it is down for the same reason: what gets worse is not over.
    if replica.is_silent and not replica.is_draining:
        yield Condition(
            name="ReplicaSuspect",
            model=pool.name,
            replica=replica.name,
            severity="ticket",
            said=Said("alerts.suspect", {**place, "after": f"{SUSPECT_AFTER_S:g}"}),
            for_s=rules.replica_suspect_s,
        )


class Canary(Protocol):
    """How a canary prompt fared last."""

    @property
    def name(self) -> str:
        """Its own."""
        ...

    @property
    def model(self) -> str:
        """The model's."""
        ...

    @property
    def is_ok(self) -> bool:
        """Whether all was as expected."""
        ...

    @property
    def problem(self) -> str:
        """What was not, without a word of the reply."""
        ...


def unexpected(canaries: Iterable[Canary]) -> Iterator[Condition]:
    """Tell which canary prompts are not answered as they should be."""
    for canary in canaries:
        if not canary.is_ok:
            yield Condition(
                name="CanaryFailing",
                model=canary.model,
                canary=canary.name,
                severity="ticket",
                said=Said(
                    "alerts.canary",
                    {"model": canary.model, "canary": canary.name, "problem": canary.problem},
                ),
            )


class _Engine(NamedTuple):
    """How a replica's engine stands.

    Attributes:
        restarts: How often the launcher has started it again; None if it was not launched here.
        started_at: When its process began, if it tells.
    """

    restarts: int | None
    started_at: float | None

    def follows(self, before: _Engine) -> bool:
        """Tell whether it is another process than before."""
        if self.restarts is not None and before.restarts is not None:
            # Counted once, when its end was seen, and not again when it tells when it began.
            return self.restarts > before.restarts
        return None not in {before.started_at, self.started_at} and before.started_at != self.started_at

    def after(self, before: _Engine | None) -> _Engine:
        """Keep when it began while it does not tell: it is not asked while it is down."""
        if before is None or self.started_at is not None:
            return self
        return _Engine(self.restarts, before.started_at)


class Restarts:
    """Remembers when engines were started again: whoever was launched here, or tells when it began."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Engine] = {}
        self._restarted_at_s: dict[tuple[str, str], float] = {}

    def look(self, pools: Iterable[Pool], at_s: float) -> list[tuple[str, str]]:
        """Take note of how engines stand; give model and replica of those that were started again."""
        before = self._known
        seen = dict(_engines(pools))
        found = [key for key, now in seen.items() if key in before and now.follows(before[key])]
        self._known = {key: now.after(before.get(key)) for key, now in seen.items()}
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
                said=Said("alerts.restarted", {"model": model, "replica": replica}),
            )


def _engines(pools: Iterable[Pool]) -> Iterator[tuple[tuple[str, str], _Engine]]:
    for pool in pools:
        launches = _launches(pool)
        for replica in pool.replicas:
            launch = launches.get(replica.seed)
            started_at = None if replica.stats is None else replica.stats.started_at
            restarts = None if launch is None else launch.restarts
            yield (pool.name, replica.name), _Engine(restarts, started_at)


def _launches(pool: Pool) -> dict[int, LaunchStatus]:
    """Give what the launcher says of a pool's replicas, by their seeds, which are made of their addresses."""
    return {zlib.crc32(launch.url.encode()): launch for launch in pool.launches()}


def availability(pool: Pool, lasted_s: float) -> Counts:
    """Count a stretch of time as one in which a model could be called, or not; not while it is not to be."""
    if pool.state in {"starting", "stopped"}:
        return Counts()
    return Counts(lasted_s if pool.state in _UNAVAILABLE else 0.0, lasted_s)
