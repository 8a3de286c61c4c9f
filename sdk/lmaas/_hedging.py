"""Hedging: a second request for a call whose first has no reply yet. The first head wins.

Only calls whose repetition changes nothing on the server are hedged, only before a reply has begun, and only
within the retry budget. The loser's connection is closed, so that the server stops working for it.

Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Final, TypeAlias

from lmaas._budget import RetryBudget
from lmaas._reply import AsyncReply, AsyncTransport, Reply, Transport
from lmaas._request import Request
from lmaas.errors import APIError

_PURE_ROUTES: Final = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/rerank",
    "/score",
    "/classify",
    "/pooling",
    "/tokenize",
    "/detokenize",
)


def is_pure(request: Request) -> bool:
    """Tell whether sending `request` twice leaves the server as sending it once would."""
    return request.method == "GET" or request.path.endswith(_PURE_ROUTES)


def twin_of(request: Request) -> Request:
    """Return a second request for the same call, with a key of its own: it is meant to be carried out too."""
    key = request.headers.get("idempotency-key")
    return _racing(request.with_header("idempotency-key", f"{key}-hedge") if key else request)


def _racing(request: Request) -> Request:
    return replace(request, timer=request.timer.twin())


@dataclass(frozen=True, slots=True)
class _Finish:
    """How one of the requests ended."""

    request: Request
    reply: Reply | None = None
    error: BaseException | None = None


class _Race:
    """Requests that run at the same time, each in a thread. At the finish all but the winner are ended."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._finishes: SimpleQueue[_Finish] = SimpleQueue()
        self._running: list[Request] = []
        self._lock = Lock()
        self._is_over = False

    def start(self, request: Request) -> None:
        self._running.append(request)
        run = partial(copy_context().run, self._run, request)
        Thread(target=run, name="lmaas-hedge", daemon=True).start()

    def wait(self, seconds: float | None = None) -> _Finish | None:
        """Return the next finish, None if there is none within `seconds`."""
        try:
            finish = self._finishes.get(timeout=seconds)
        except Empty:
            return None
        self._running.remove(finish.request)
        return finish

    @property
    def is_lonely(self) -> bool:
        """Whether nobody runs any more."""
        return not self._running

    def end(self) -> None:
        """Cancel who still runs, and close what came in too late to win."""
        with self._lock:
            self._is_over = True
        for request in self._running:
            request.timer.cancel()
        while not self._finishes.empty():
            _close(self._finishes.get())

    def _run(self, request: Request) -> None:
        try:
            finish = _Finish(request, reply=self._transport.send(request))
        except BaseException as error:  # raised again in the thread that waits
            finish = _Finish(request, error=error)
        with self._lock:
            if not self._is_over:
                self._finishes.put(finish)
                return
        _close(finish)


def _close(finish: _Finish) -> None:
    if finish.reply is not None:
        finish.reply.close()


class HedgingTransport:
    """Sends a call again, beside itself, when its reply has not begun after `hedge_after_s`."""

    def __init__(self, transport: Transport, budget: RetryBudget, hedge_after_s: float) -> None:
        self._transport = transport
        self._budget = budget
        self._hedge_after_s = hedge_after_s

    def send(self, request: Request) -> Reply:
        """Send a call; see `Transport.send`."""
        if not is_pure(request):
            return self._transport.send(request)
        race = _Race(self._transport)
        try:
            race.start(_racing(request))
            finish = race.wait(self._hedge_after_s)
            if finish is None and self._budget.take():
                race.start(twin_of(request))
            return _settle(finish, race)
        finally:
            race.end()


def _settle(finish: _Finish | None, race: _Race) -> Reply:
    """Return the first reply. An error that may pass waits for the other request; others are raised."""
    while True:
        finish = finish or race.wait()
        assert finish is not None  # noqa: S101 - a wait without end has a result
        if finish.reply is not None:
            return finish.reply
        assert finish.error is not None  # noqa: S101 - a finish is one or the other
        if race.is_lonely or not _may_pass(finish.error):
            raise finish.error
        finish = None


def _may_pass(error: BaseException | None) -> bool:
    return isinstance(error, APIError) and error.is_retryable


class AsyncHedgingTransport:
    """The asynchronous twin of `HedgingTransport`."""

    def __init__(self, transport: AsyncTransport, budget: RetryBudget, hedge_after_s: float) -> None:
        self._transport = transport
        self._budget = budget
        self._hedge_after_s = hedge_after_s

    async def send(self, request: Request) -> AsyncReply:
        """Send a call; see `Transport.send`."""
        if not is_pure(request):
            return await self._transport.send(request)
        running = {self._start(_racing(request))}
        losers = set(running)
        try:
            done, _ = await asyncio.wait(running, timeout=self._hedge_after_s)
            if not done and self._budget.take():
                running.add(self._start(twin_of(request)))
            losers = set(running)
            winner = await _winner(running)
            losers.remove(winner)
            return winner.result()
        finally:
            await _end(losers)

    def _start(self, request: Request) -> _Task:
        return asyncio.create_task(self._transport.send(request))


_Task: TypeAlias = "asyncio.Task[AsyncReply]"


async def _winner(running: set[_Task]) -> _Task:
    """Return the task that decides the call; see `_settle`."""
    while True:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        replies = [task for task in done if task.exception() is None]
        final = [task for task in done if not running or not _may_pass(task.exception())]
        if replies or final:
            return (replies or final)[0]


async def _end(losers: set[_Task]) -> None:
    for task in losers:
        task.cancel()
    for late in await asyncio.gather(*losers, return_exceptions=True):
        if isinstance(late, AsyncReply):
            await late.close()
