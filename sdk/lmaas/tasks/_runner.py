"""Runs plans over a client: the only file of the tasks that makes calls."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from lmaas.tasks._plan import Call, Plan, Route
from lmaas.tasks._result import Result, TaskUsage
from lmaas.types import ChatCompletion, Completion, ReplyModel

if TYPE_CHECKING:
    from lmaas import AsyncLMaaS, LMaaS

ResultT = TypeVar("ResultT", bound=Result)
Clock: TypeAlias = Callable[[], float]

CONCURRENCY: Final = 8
"""Calls of one task that are under way at once: enough for continuous batching to pay."""

_REMEMBERED: Final = 512


class _Memory:
    """The replies of constant calls, such as the tokens of a label; the oldest are forgotten."""

    def __init__(self) -> None:
        self._replies: OrderedDict[str, ReplyModel] = OrderedDict()
        self._lock = Lock()

    def get(self, call: Call) -> ReplyModel | None:
        return self._replies.get(call.key) if call.is_constant else None

    def keep(self, call: Call, reply: ReplyModel) -> None:
        if not call.is_constant:
            return
        with self._lock:
            self._replies[call.key] = reply
            while len(self._replies) > _REMEMBERED:
                self._replies.popitem(last=False)


class _Record:
    """What one run took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin = clock()
        self._replies: list[ReplyModel] = []

    def add(self, replies: Sequence[ReplyModel]) -> None:
        self._replies += replies

    def told(self, result: ResultT) -> ResultT:
        said = tuple(reply for reply in self._replies if isinstance(reply, ChatCompletion | Completion))
        latency_s = self._clock() - self._begin
        return replace(result, usage=TaskUsage.of(self._replies), latency_s=latency_s, completions=said)


class Runner:
    """Runs plans with a synchronous client; safe to share between threads."""

    def __init__(
        self, client: LMaaS, *, concurrency: int = CONCURRENCY, clock: Clock = time.monotonic
    ) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._memory = _Memory()
        self._routes: dict[Route, Callable[..., ReplyModel]] = {
            "chat": client.chat.completions.create,
            "completions": client.completions.create,
            "embeddings": client.embeddings.create,
            "tokenize": client.tokenize.create,
        }

    def run(self, plan: Plan[ResultT]) -> ResultT:
        """Make the calls of a plan until it has its result.

        Raises:
            APIError: a call failed.
            TaskError: the plan could not use an answer.
        """
        record = _Record(self._clock)
        try:
            calls = next(plan)
            while True:
                calls = plan.send(self._replies(calls, record))
        except StopIteration as end:
            result: ResultT = end.value
            return record.told(result)
        finally:
            plan.close()

    def _replies(self, calls: Sequence[Call], record: _Record) -> list[ReplyModel]:
        known = [self._memory.get(call) for call in calls]
        missing = [call for call, reply in zip(calls, known, strict=True) if reply is None]
        fresh = self._make(missing)
        record.add(fresh)
        return _merged(self._memory, missing, known, fresh)

    def _make(self, calls: Sequence[Call]) -> list[ReplyModel]:
        if len(calls) < 2 or self._concurrency == 1:
            return [self._one(call) for call in calls]
        pool = ThreadPoolExecutor(min(self._concurrency, len(calls)), "lmaas-task")
        try:
            return list(pool.map(self._one, calls))
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, call: Call) -> ReplyModel:
        return self._routes[call.route](**call.body, **call.options)


class AsyncRunner:
    """The asynchronous twin of `Runner`."""

    def __init__(
        self, client: AsyncLMaaS, *, concurrency: int = CONCURRENCY, clock: Clock = time.monotonic
    ) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._memory = _Memory()
        self._routes: dict[Route, Callable[..., Awaitable[ReplyModel]]] = {
            "chat": client.chat.completions.create,
            "completions": client.completions.create,
            "embeddings": client.embeddings.create,
            "tokenize": client.tokenize.create,
        }

    async def run(self, plan: Plan[ResultT]) -> ResultT:
        """Make the calls of a plan until it has its result; see `Runner.run`."""
        record = _Record(self._clock)
        try:
            calls = next(plan)
            while True:
                calls = plan.send(await self._replies(calls, record))
        except StopIteration as end:
            result: ResultT = end.value
            return record.told(result)
        finally:
            plan.close()

    async def _replies(self, calls: Sequence[Call], record: _Record) -> list[ReplyModel]:
        known = [self._memory.get(call) for call in calls]
        missing = [call for call, reply in zip(calls, known, strict=True) if reply is None]
        fresh = await self._make(missing)
        record.add(fresh)
        return _merged(self._memory, missing, known, fresh)

    async def _make(self, calls: Sequence[Call]) -> list[ReplyModel]:
        gate = asyncio.Semaphore(self._concurrency)

        async def gated(call: Call) -> ReplyModel:
            async with gate:
                return await self._one(call)

        tasks = [asyncio.ensure_future(gated(call)) for call in calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            # After a failure the others are of no use; let them end before the failure is told.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, call: Call) -> ReplyModel:
        return await self._routes[call.route](**call.body, **call.options)


def _merged(
    memory: _Memory,
    missing: Sequence[Call],
    known: Sequence[ReplyModel | None],
    fresh: Sequence[ReplyModel],
) -> list[ReplyModel]:
    for call, reply in zip(missing, fresh, strict=True):
        memory.keep(call, reply)
    rest = iter(fresh)
    return [next(rest) if reply is None else reply for reply in known]
