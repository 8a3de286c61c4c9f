"""The life of one launched replica: started, watched, restarted, given up."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from lmaas_gateway.replicas import engine_log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ReplicaState = Literal["preparing", "starting", "ready", "restarting", "failed", "stopped"]

_START_PROBE_INTERVAL_S = 0.25
_REPORT_INTERVAL_S = 5.0
_MAX_BACKOFF_S = 60.0
_STABLE_AFTER_S = 60.0
_MAX_MISSED_PROBES = 3


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What is known of one launched replica.

    Attributes:
        url: Where it listens, `unix:/path`.
        pid: Of the engine's first process, while there is one.
        restarts: How often it was started again.
        since: Unix time at which it came into this state.
        last_error: Why it failed last: one line, fit for a caller.
    """

    url: str
    state: ReplicaState = "preparing"
    pid: int | None = None
    restarts: int = 0
    since: float = 0.0
    last_error: str | None = None


class RunningEngine(Protocol):
    """What the supervisor needs of an engine that was started."""

    pid: int

    async def wait(self) -> int:
        """Wait for its end; return the exit code, negative for a signal."""

    async def stop(self) -> None:
        """End it after its calls."""

    async def kill(self) -> None:
        """End it now."""


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """When a replica counts as failed, and how often it is tried again; times in seconds."""

    start_timeout_s: float
    max_restarts: int
    restart_backoff_s: float
    probe_interval_s: float = 5.0
    probe_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from: `monotonic` for durations, `now` for dates, `sleep` to let it pass."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Supervisor:
    """Keeps one replica running.

    Args:
        name: How reports call it.
        url: Where the engine listens once it serves.
        log: File that the engine writes to.
        policy: Limits.
        probe: Asks the replica at a url whether it serves.
        report: Takes lines for people.
    """

    def __init__(
        self,
        name: str,
        url: str,
        log: Path,
        *,
        policy: WatchPolicy,
        probe: Callable[[str], Awaitable[bool]],
        report: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._name = name
        self._log = log
        self._policy = policy
        self._probe = probe
        self._report = report
        self._clock = clock
        self._status = ReplicaStatus(url, since=clock.now())
        self._failed_starts = 0
        self._backoffs = 0

    @property
    def status(self) -> ReplicaStatus:
        """The replica's state right now."""
        return self._status

    async def run(self, start: Callable[[], Awaitable[RunningEngine]]) -> None:
        """Keep the engine that `start` starts running until this is cancelled or it is given up.

        Cancelling ends the engine after its calls.
        """
        try:
            self._become("starting")
            while True:
                why = await self._live(start)
                if self._failed_starts > self._policy.max_restarts:
                    self.give_up(f"{why}; given up after {self._failed_starts} failed starts")
                    return
                await self._pause(why)
        except asyncio.CancelledError:
            self._become("stopped")
            raise

    def give_up(self, why: str) -> None:
        """Mark the replica as failed for good, and say so."""
        self._become("failed", last_error=engine_log.safe(why))
        self._report(f"{self._name}: FAILED: {why}")

    async def _pause(self, why: str) -> None:
        pause_s = min(_MAX_BACKOFF_S, self._policy.restart_backoff_s * 2**self._backoffs)
        self._backoffs += 1
        self._report(f"{self._name}: {why}; restarting in {pause_s:.3g} s (log: {self._log})")
        self._become("restarting", last_error=why, restarts=self._status.restarts + 1)
        await self._clock.sleep(pause_s)

    async def _live(self, start: Callable[[], Awaitable[RunningEngine]]) -> str:
        """Run the engine once; return why it ended."""
        # Counted before, forgiven when it gets ready.
        self._failed_starts += 1
        try:
            engine = await start()
        except OSError as error:
            return f"the engine could not be started ({error.strerror})"
        self._status = replace(self._status, pid=engine.pid)
        watching = asyncio.ensure_future(self._watch())
        exiting = asyncio.ensure_future(engine.wait())
        try:
            await asyncio.wait((watching, exiting), return_when=asyncio.FIRST_COMPLETED)
            if exiting.done():
                return self._explain_exit(exiting.result())
            await engine.kill()
            return watching.result()
        except asyncio.CancelledError:
            await engine.stop()
            raise
        finally:
            watching.cancel()
            exiting.cancel()

    async def _watch(self) -> str:
        """Return what is wrong with the engine, once something is."""
        if not await self._gets_ready():
            return f"the engine was not ready after {self._policy.start_timeout_s:.0f} s"
        ready_at = self._clock.monotonic()
        self._failed_starts = 0
        missed = 0
        while missed < _MAX_MISSED_PROBES:
            await self._clock.sleep(self._policy.probe_interval_s)
            missed = 0 if await self._is_serving() else missed + 1
            if self._clock.monotonic() - ready_at >= _STABLE_AFTER_S:
                self._backoffs = 0
        return "the engine stopped answering"

    async def _gets_ready(self) -> bool:
        began_at = self._clock.monotonic()
        next_report_s = _REPORT_INTERVAL_S
        while not await self._is_serving():
            elapsed_s = self._clock.monotonic() - began_at
            if elapsed_s >= self._policy.start_timeout_s:
                return False
            if elapsed_s >= next_report_s:
                next_report_s += _REPORT_INTERVAL_S
                self._report(
                    f"{self._name}: loading the engine ({engine_log.phase(self._log)}) … {elapsed_s:.0f} s"
                )
            await self._clock.sleep(_START_PROBE_INTERVAL_S)
        self._become("ready")
        self._report(f"{self._name}: ready after {self._clock.monotonic() - began_at:.0f} s")
        return True

    async def _is_serving(self) -> bool:
        try:
            async with asyncio.timeout(self._policy.probe_timeout_s):
                return await self._probe(self._status.url)
        except (OSError, TimeoutError):
            return False

    def _explain_exit(self, code: int) -> str:
        if code < 0:
            return f"the engine was killed by {_signal_name(-code)}"
        cause = engine_log.last_error(self._log)
        return f"the engine ended with exit code {code}" + (f": {cause}" if cause else "")

    def _become(
        self, state: ReplicaState, *, last_error: str | None = None, restarts: int | None = None
    ) -> None:
        self._status = replace(
            self._status,
            state=state,
            pid=self._status.pid if state in ("starting", "ready") else None,
            since=self._clock.now(),
            restarts=self._status.restarts if restarts is None else restarts,
            last_error=last_error or self._status.last_error,
        )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
