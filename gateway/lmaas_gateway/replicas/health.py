"""Ask every replica, again and again, whether it is well, what it serves and how busy it is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, TypeVar

import msgspec

from lmaas_gateway.replicas.breaker import TRIAL_INTERVAL_S
from lmaas_gateway.replicas.engine_stats import read_stats
from lmaas_gateway.replicas.faults import ReplicaBusyError, ReplicaError
from lmaas_gateway.replicas.pool import SUSPECT_AFTER_S
from lmaas_gateway.replicas.trial import try_out
from lmaas_gateway.replicas.version import MIN_VERSION, is_too_old, read_version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from lmaas_gateway.replicas.client import ReplicaClient
    from lmaas_gateway.replicas.engine_stats import EngineStats
    from lmaas_gateway.replicas.pool import Pool, Replica
    from lmaas_gateway.settings import OldEngines

AnswerT = TypeVar("AnswerT")

_LOG = logging.getLogger("lmaas.gateway")

_NOT_READY_INTERVAL_S = 0.5
_FIRST_ROUND_S = 1.0
# A hung process keeps its connections: only a question that is not answered shows it.
_BEAT_S = 1.5
# A loop that is later than this has an answer that it had no chance to read: it gets this long for it.
_OWN_LAG_S = 0.25
_MAX_ANSWER_BYTES = 1 << 20


class _ServedModel(msgspec.Struct):
    id: str
    max_model_len: int | None = None
    parent: str | None = None


class _ServedModels(msgspec.Struct):
    data: list[_ServedModel]


_MODELS = msgspec.json.Decoder(_ServedModels)


class Prober:
    """Keeps the readiness of all replicas up to date, one task a replica.

    Args:
        pools: The pools to watch; `follow` changes them.
        interval_s: Pause between two probes of a ready replica; one that is not is asked more often.
        timeout_s: Deadline of one probe.
        beat_s: Pause between two questions to a ready replica whether it answers at all.
        old_engines: What becomes of replicas whose release of vLLM falls to hostile requests.
        pause: Waits that many seconds, or until the event is set.
    """

    def __init__(
        self,
        pools: Iterable[Pool],
        *,
        interval_s: float,
        timeout_s: float = 5.0,
        beat_s: float = _BEAT_S,
        old_engines: OldEngines = "refuse",
        pause: Callable[[asyncio.Event, float], Awaitable[None]] | None = None,
    ) -> None:
        self._pools = tuple(pools)
        self.interval_s = interval_s
        self.old_engines = old_engines
        self._timeout_s = timeout_s
        self._beat_s = beat_s
        self._pause = pause or _pause
        self._pool_of: Mapping[Replica, Pool] = {}
        self._tasks: dict[Replica, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Begin to probe; returns when each replica has answered for the first time, or soon enough."""
        await self.ask(self._pools, within_s=_FIRST_ROUND_S)
        self.follow(self._pools)

    async def ask(self, pools: Iterable[Pool], *, within_s: float | None = None) -> None:
        """Probe those replicas of `pools` that are not watched yet, once each."""
        new = (
            self.probe(pool, replica)
            for pool in pools
            for replica in pool.replicas
            if replica not in self._tasks
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.gather(*new)

    def follow(self, pools: Iterable[Pool]) -> None:
        """Watch the replicas of `pools` from now on, and no others."""
        self._pools = tuple(pools)
        self._pool_of = {replica: pool for pool in self._pools for replica in pool.replicas}
        for replica in self._tasks.keys() - self._pool_of.keys():
            self._tasks.pop(replica).cancel()
        for replica in self._pool_of:
            if replica not in self._tasks:
                self._tasks[replica] = asyncio.create_task(self._attend(replica))

    async def stop(self) -> None:
        """End all probing."""
        tasks = tuple(self._tasks.values())
        self.follow(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _attend(self, replica: Replica) -> None:
        """Probe a replica, and listen to it meanwhile."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._watch(replica))
            both.create_task(self._listen_on(replica))

    async def _watch(self, replica: Replica) -> None:
        """Probe a replica again and again; at once when a call finds it gone or leaves it in doubt."""
        # Asked for each time: after a change of the configuration it is another pool's, or, until the end of
        # this task gets here, nobody's.
        while (pool := self._pool_of.get(replica)) is not None:
            await self.probe(pool, replica)
            if not (replica.is_ready and replica.breaker.is_trial_due):
                # A doubt that came while it was asked is looked into next, not forgotten.
                replica.alarm.clear()
            await self._pause(replica.alarm, self._interval_of(replica))

    async def _listen_on(self, replica: Replica) -> None:
        """Ask a ready replica again and again whether it is well, whatever its probe may wait for."""
        while True:
            await asyncio.sleep(self._beat_s)
            if replica.is_ready:
                await self._listen(replica)

    def _interval_of(self, replica: Replica) -> float:
        if not replica.is_ready:
            return min(_NOT_READY_INTERVAL_S, self.interval_s)
        return min(TRIAL_INTERVAL_S, self.interval_s) if replica.breaker.is_doubted else self.interval_s

    async def probe(self, pool: Pool, replica: Replica) -> None:
        """Ask one replica once and take note of the answer.

        One that is ejected is tried out when its time is over, or when it has come back from being down: then
        it is another process than the one that failed. One that is in doubt is tried out at once.
        """
        was_ready = replica.is_ready
        await self._ask(pool, replica)
        breaker = replica.breaker
        if replica.is_ready and breaker.is_ejected and (breaker.is_probe_due or not was_ready):
            await _try_out(pool, replica)
        elif replica.is_ready and breaker.is_trial_due:
            breaker.settle(is_well=await try_out(replica, pool.kind) != "failed")

    async def _answer_of(self, replica: Replica, question: Awaitable[AnswerT]) -> AnswerT | None:
        """Give a replica's answer; None if there is none, which is then said of the replica."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await question
        except TimeoutError:
            replica.mark_failed("did not answer its health check in time", is_silent=replica.is_silent)
        except ReplicaBusyError:
            # All its connections are at work: no news, and no illness.
            pass
        except ReplicaError as error:
            replica.mark_failed(str(error))
        return None

    async def _listen(self, replica: Replica) -> None:
        """Ask a ready replica whether it is well, and nothing else."""
        health = await self._answer_of(replica, _health_of(replica))
        if health is not None and health != 200:
            replica.mark_failed(f"its health check answered {health}")

    async def _ask(self, pool: Pool, replica: Replica) -> None:
        answer = await self._answer_of(replica, _health_and_models_of(replica))
        if answer is None:
            return
        health, status, body = answer
        if health != 200 or status != 200:
            replica.mark_failed(f"its health check answered {health}, its model list {status}")
            return
        # While it stays ready it is the process that was asked.
        if not replica.is_ready and (problem := await self._judge_engine(replica)):
            replica.mark_failed(problem)
            return
        _take_note(pool, replica, body)
        if replica.is_ready:
            calls_before = replica.load()[1]
            replica.note_stats(await self._read_stats(replica), calls_before)

    async def _judge_engine(self, replica: Replica) -> str | None:
        """Tell why a replica's engine must not serve; one that does not tell its version may."""
        try:
            async with asyncio.timeout(self._timeout_s):
                version = read_version(*await _get(replica.client, "/version"))
        except (TimeoutError, ReplicaError):
            return None
        if not is_too_old(version):
            return None
        oldest = ".".join(map(str, MIN_VERSION))
        problem = f"it is vLLM {version}, and before {oldest} one hostile request stops it for everybody"
        if self.old_engines == "refuse":
            return f"{problem}; upgrade it, or set old_engines: warn"
        _LOG.warning("replica %s takes calls although %s", replica.name, problem)
        return None

    async def _read_stats(self, replica: Replica) -> EngineStats | None:
        """Read its metrics; a replica that has none, or is slow to give them, is none the worse for it."""
        with contextlib.suppress(TimeoutError, ReplicaError):
            async with asyncio.timeout(self._timeout_s):
                status, text = await _get(replica.client, "/metrics")
            if status == 200:
                return read_stats(text)
        return None


async def _health_of(replica: Replica) -> int:
    """Ask whether it is well; one that lets this wait is suspect until it answers."""
    loop = asyncio.get_running_loop()
    late: asyncio.TimerHandle

    def note_late(due_s: float) -> None:
        nonlocal late
        if loop.time() - due_s > _OWN_LAG_S:
            late = loop.call_later(_OWN_LAG_S, replica.note_silence)
        else:
            replica.note_silence()

    late = loop.call_later(SUSPECT_AFTER_S, note_late, loop.time() + SUSPECT_AFTER_S)
    try:
        health, _ = await _get(replica.client, "/health")
    finally:
        late.cancel()
    replica.note_heard()
    return health


async def _health_and_models_of(replica: Replica) -> tuple[int, int, bytes]:
    health, _ = await _get(replica.client, "/health")
    return health, *await _get(replica.client, "/v1/models")


async def _pause(alarm: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await alarm.wait()


async def _try_out(pool: Pool, replica: Replica) -> None:
    verdict = await try_out(replica, pool.kind)
    if verdict == "passed":
        replica.breaker.readmit()
        _LOG.warning("replica %s takes calls again: it has answered one", replica.name)
    elif verdict == "failed":
        replica.breaker.extend()


def _take_note(pool: Pool, replica: Replica, body: bytes) -> None:
    try:
        models = _MODELS.decode(body).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        replica.mark_failed("its model list is not OpenAI's")
        return
    served = _pick(pool.name, models)
    if served is None:
        replica.mark_failed(f"serves no model called {pool.name!r}, nor just one under another name")
    else:
        replica.mark_ready(served.id, served.max_model_len)


def _pick(name: str, models: list[_ServedModel]) -> _ServedModel | None:
    """Find the model by its public name, or take the only one (adapters, which have a parent, aside)."""
    for model in models:
        if model.id == name:
            return model
    roots = [model for model in models if model.parent is None]
    return roots[0] if len(roots) == 1 else None


async def _get(client: ReplicaClient, path: str) -> tuple[int, bytes]:
    exchange = await client.get(path)
    try:
        body = bytearray()
        while data := await exchange.read():
            body += data
            if len(body) > _MAX_ANSWER_BYTES:
                raise ReplicaError(f"its answer to {path} does not end")
        return exchange.status, bytes(body)
    finally:
        exchange.close()
