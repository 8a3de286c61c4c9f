"""The replicas of one model, and what is known of each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from lmaas_gateway.replicas.breaker import Breaker
from lmaas_gateway.replicas.busy_clock import BusyClock
from lmaas_gateway.replicas.prefixes import CACHED_BYTES_PER_TOKEN, HeldPrefixes
from lmaas_gateway.replicas.retry_budget import RetryBudget
from lmaas_gateway.settings import DEFAULT_MAX_IN_FLIGHT, EjectionSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from lmaas_gateway.board import SharedNumber
    from lmaas_gateway.replicas.client import ReplicaClient
    from lmaas_gateway.replicas.engine_stats import EngineStats
    from lmaas_gateway.settings import ModelKind, RoutingPolicy

PoolState = Literal["starting", "ready", "degraded", "unavailable", "failed", "stopped"]
ReplicaState = Literal["ready", "draining", "down", "suspect", "ejected", "cooling"]
REPLICA_STATES: tuple[ReplicaState, ...] = get_args(ReplicaState)

SUSPECT_AFTER_S = 1.5
"""A ready replica whose health check takes longer is suspect, and takes calls only where no other can."""

NEVER = 1 << 62
"""More calls than a replica can have."""


class LaunchStatus(Protocol):
    """What a launcher knows of one replica that it started."""

    @property
    def url(self) -> str:
        """Where it listens."""

    @property
    def state(self) -> str:
        """Where it stands; `failed` once it is given up."""

    @property
    def restarts(self) -> int:
        """How often it was started again."""

    @property
    def last_error(self) -> str | None:
        """Why it last ended."""


@dataclass(frozen=True, slots=True)
class SharedLoad:
    """What all workers together have sent to a replica and not yet got back."""

    calls: SharedNumber
    tokens: SharedNumber


@dataclass(slots=True, eq=False)
class Replica:
    """One vLLM server.

    Attributes:
        name: Unique in the gateway; stands in metrics and logs.
        is_ready: Its last probe passed, and no connection to it has failed since.
        weight: How much it takes beside the others.
        max_in_flight: How many calls it works on at once, those of all workers together.
        was_ready: It has been ready at some time: a failing probe then means trouble, not a start.
        is_draining: It finishes the calls that it has and takes no new ones.
        is_silent: Its last health check was not answered soon: it hangs, or is busy beyond measure.
        in_flight: Calls that it is working on for this gateway process.
        outstanding_tokens: Their estimated tokens (`Call.tokens`), prompt and completion.
        shared: The same of all workers together; None where this process is the only one.
        served_model_name: How it calls the model, once a probe has told.
        max_model_len: Its context length in tokens, once a probe has told.
        problem: Why it is not ready, for people.
        stats: What it last said of itself; None where it does not tell.
        foreign_calls: Calls that others had sent to it by then.
        queues_above: With more calls in flight than this, some of them wait, as far as it told.
        prefixes: Which prompts it has read lately.
        seed: CRC-32 of its address, so that sessions find it again whatever it is called.
        breaker: What its answers to calls say of it.
        busy: Its time, shared out to its calls; None where nobody keeps books.
        alarm: Set when it stops being ready, or is in doubt or may be gone, for whoever probes it.
    """

    name: str
    client: ReplicaClient
    weight: float = 1.0
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    is_ready: bool = False
    was_ready: bool = False
    is_draining: bool = False
    is_silent: bool = False
    in_flight: int = 0
    outstanding_tokens: int = 0
    shared: SharedLoad | None = None
    served_model_name: str | None = None
    max_model_len: int | None = None
    problem: str = "has not been asked yet"
    stats: EngineStats | None = None
    foreign_calls: int = 0
    queues_above: int = NEVER
    prefixes: HeldPrefixes = field(default_factory=HeldPrefixes)
    seed: int = 0
    breaker: Breaker = field(default_factory=Breaker)
    busy: BusyClock | None = None
    alarm: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> ReplicaState:
        """Whether it takes calls, and if not, why."""
        if self.is_draining:
            return "draining"
        if not self.is_ready:
            return "down"
        if self.breaker.is_ejected:
            return "ejected"
        if self.is_silent:
            return "suspect"
        return "cooling" if self.breaker.is_cooling() else "ready"

    def enter(self, tokens: int) -> int:
        """Take note of a call that is sent to it; a `leave` with the same number must follow, always.

        Returns:
            The reading of its busy clock; that of `leave` tells how much of its time the call had.
        """
        if self.shared is None:
            share_ns = 0 if self.busy is None else self.busy.advance(self.in_flight)
        else:
            share_ns = self.look()
            self.shared.calls.add(1)
            self.shared.tokens.add(tokens)
        self.in_flight += 1
        self.outstanding_tokens += tokens
        return share_ns

    def leave(self, tokens: int) -> int:
        """Take note of a call that has ended; give the reading of its busy clock."""
        if self.shared is None:
            share_ns = 0 if self.busy is None else self.busy.advance(self.in_flight)
        else:
            share_ns = self.look()
            self.shared.calls.add(-1)
            self.shared.tokens.add(-tokens)
        self.in_flight -= 1
        self.outstanding_tokens -= tokens
        return share_ns

    def look(self) -> int:
        """Share out its time since the last look; give the reading of its busy clock."""
        own = self.in_flight
        if self.busy is None:
            return 0
        if self.shared is None:
            return self.busy.advance(own)
        return self.busy.advance(own, max(0, self.shared.calls.total() - own))

    def load(self) -> tuple[int, int]:
        """Give the outstanding tokens and the calls in flight, those of the other workers included."""
        if self.shared is None:
            return self.outstanding_tokens, self.in_flight
        return self.shared.tokens.total(), self.shared.calls.total()

    def mark_ready(self, served_model_name: str, max_model_len: int | None) -> None:
        """Take note of a probe that passed."""
        has_come_back = self.was_ready and not self.is_ready
        if has_come_back and (self.stats is None or self.stats.started_at is None):
            # Most of what is back after it was away has been started anew.
            self.prefixes.clear()
        self.served_model_name, self.max_model_len = served_model_name, max_model_len
        self.is_ready = self.was_ready = True
        self.note_heard()

    def mark_failed(self, problem: str, *, is_silent: bool = False) -> None:
        """Take note of a probe or a connection that failed, or of a probe that was not answered at all."""
        if self.is_ready:
            self.alarm.set()
        self.is_ready = False
        self.is_silent = is_silent
        self.problem = problem

    def note_silence(self) -> None:
        """Take note that a ready replica does not answer its health check; it may do so yet."""
        if self.is_ready:
            self.is_silent = True
            self.problem = f"has not answered its health check for {SUSPECT_AFTER_S:g} s"

    def note_heard(self) -> None:
        """Take note that a ready replica has answered its health check."""
        if self.is_ready:
            self.is_silent = False
            self.problem = ""

    def note_stats(self, stats: EngineStats | None, calls_before: int = 0) -> None:
        """Take note of what it says of itself now; None if it tells nothing.

        Args:
            stats: What it says.
            calls_before: How many calls it had when it was asked; those that ended since are not of others.
        """
        old, self.stats = self.stats, stats
        self.foreign_calls, self.queues_above = 0, NEVER
        if stats is None:
            return
        if old is not None and old.started_at != stats.started_at:
            self.prefixes.clear()
        calls = max(self.load()[1], calls_before)
        self.foreign_calls = max(0, stats.running + stats.waiting - calls)
        if stats.waiting:
            self.queues_above = calls - stats.waiting
        if stats.kv_cache_tokens is not None:
            self.prefixes.capacity_bytes = stats.kv_cache_tokens * CACHED_BYTES_PER_TOKEN


@dataclass(slots=True, eq=False)
class Pool:
    """The replicas that serve one public model name; never changed, but for its successor.

    Attributes:
        created: When the pool was made, in Unix seconds.
        routing: The policy that chooses one of several replicas.
        max_in_flight_tokens: Tokens in flight, for each replica, from which on further calls wait.
        has_priorities: Its engines schedule by vLLM's `priority`.
        has_salts: Its engines take vLLM's `cache_salt`.
        launches: Asks the launcher for the state of each replica; empty where none was launched here.
        successor: The pool of a newer configuration; calls that hold this one find their replicas there.
        ejection: How many of the replicas may be ejected.
        retries: How many calls may be tried again.
    """

    name: str
    kind: ModelKind
    replicas: tuple[Replica, ...]
    created: int
    owned_by: str = "lmaas"
    routing: RoutingPolicy = "least_tokens"
    max_in_flight_tokens: int | None = None
    has_priorities: bool = False
    has_salts: bool = True
    launches: Callable[[], Sequence[LaunchStatus]] = tuple
    ejection: EjectionSettings = field(default_factory=EjectionSettings)
    retries: RetryBudget = field(default_factory=RetryBudget)
    successor: Pool | None = None

    def candidates(self, tried: Container[Replica]) -> list[Replica]:
        """List the replicas that could take a call and have not been tried; suspects where no other is."""
        if self.successor is not None:
            return self.successor.candidates(tried)
        found = []
        for replica in self.replicas:
            if (
                replica.is_ready
                and not replica.is_silent
                and not replica.is_draining
                and not replica.breaker.is_tripped
                and replica not in tried
            ):
                found.append(replica)  # noqa: PERF401  # a comprehension makes a function first
        return found if len(found) == len(self.replicas) else self._look_closer(tried)

    def note_success(self, replica: Replica) -> None:
        """Take note of a call that a replica answered well."""
        replica.breaker.note_success()
        self.retries.note_success()

    def note_failure(self, replica: Replica) -> bool:
        """Take note of a call that a replica failed; eject it if it must be and can be, and tell whether."""
        if self.successor is not None:
            return self.successor.note_failure(replica)
        if not replica.breaker.note_failure() or replica.breaker.is_ejected:
            return False
        serving = self._serving()
        ejected = sum(other.breaker.is_ejected or other is replica for other in serving)
        if ejected * 100 > len(serving) * self.ejection.max_percent:
            return False
        replica.breaker.eject()
        return True

    def note_doubt(self, replica: Replica) -> None:
        """Take note of a failure that a replica told of and that may be the call's fault."""
        if replica.breaker.note_doubt():
            replica.alarm.set()

    def retry_after_s(self) -> float:
        """Give the seconds until the first replica that waits out a pause may take calls; 0 if none does."""
        pauses = (replica.breaker.remaining_s() for replica in self.replicas if replica.is_ready)
        return min((pause for pause in pauses if pause), default=0.0)

    def _look_closer(self, tried: Container[Replica]) -> list[Replica]:
        """Let pauses end, and use the ejected ones too where too few others are left; suspects come last."""
        serving = self._serving()
        ready = [replica for replica in serving if replica.is_ready]
        in_service = sum(not replica.breaker.is_ejected for replica in ready)
        is_panic = not in_service or in_service * 100 < len(serving) * self.ejection.panic_percent
        found = [
            replica
            for replica in ready
            if replica not in tried
            and (is_panic or not replica.breaker.is_ejected)
            and not replica.breaker.is_cooling()
        ]
        heard = [replica for replica in found if not replica.is_silent]
        # What is ejected is no better than what is only late.
        return found if all(replica.breaker.is_ejected for replica in heard) else heard

    def _serving(self) -> list[Replica]:
        """List the replicas that are to take calls: one that drains is no part of the pool's strength."""
        return [replica for replica in self.replicas if not replica.is_draining]

    @property
    def state(self) -> PoolState:
        """How much of the pool serves; `stopped` is one that is to have no replica."""
        if not self.replicas:
            return "stopped"
        serving = self._serving()
        ready = sum(replica.is_ready for replica in serving)
        if ready == len(serving) > 0 and not any(replica.breaker.is_ejected for replica in serving):
            return "ready"
        if ready:
            return "degraded"
        launches = self.launches()
        if launches and all(launch.state == "failed" for launch in launches):
            return "failed"
        return "unavailable" if any(replica.was_ready for replica in self.replicas) else "starting"

    @property
    def max_model_len(self) -> int | None:
        """The context length that every replica has, in tokens; None until one is known."""
        known = [replica.max_model_len for replica in self.replicas if replica.max_model_len is not None]
        return min(known, default=None)
