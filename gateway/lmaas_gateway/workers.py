"""Several worker processes on one port: start them, replace one that dies, change and stop all together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from lmaas_gateway.board import Seat, SharedBoard, clear_slot
from lmaas_gateway.errors import GatewayError, SettingsError
from lmaas_gateway.limits.build import free_slot, prepare_shared
from lmaas_gateway.link import (
    Adopt,
    Answer,
    Channel,
    Discard,
    Done,
    Follow,
    Hello,
    Launches,
    Prepare,
    RenewTls,
    Wish,
)
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.replay.build import drop_shared
from lmaas_gateway.replicas.directory import calls_name
from lmaas_gateway.tallies import TallyFolder, forget_gauges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.context import SpawnProcess

    from lmaas_gateway.configuration.steering import Steering
    from lmaas_gateway.link import LaunchStates
    from lmaas_gateway.replicas.supervisor import ReplicaStatus
    from lmaas_gateway.settings import Settings

_LOG = logging.getLogger("lmaas.gateway")
_RESTART_PAUSE_S = 1.0
_KILL_AFTER_S = 10.0
_ANSWER_TIMEOUT_S = 15.0
_CHORES_INTERVAL_S = 0.5
# A signal to the whole process group reaches a worker twice: itself, and passed on by its parent.
SAME_SIGNAL_S = 1.0


Listeners: TypeAlias = tuple[socket.socket, ...]
"""The bound sockets: for everybody, and for the admin API if it has one of its own."""


class Entry(Protocol):
    """What a worker process runs."""

    def __call__(self, settings: Settings, listeners: Listeners, seat: Seat, link: socket.socket) -> None:
        """Serve until told to stop."""


@dataclass(slots=True, eq=False)
class _Worker:
    """One worker process, as its parent sees it.

    Attributes:
        settings: What it serves by.
        is_up: It listens to what it is told.
        answer: What is waited for; done with the problem that it has, or with none.
    """

    process: SpawnProcess
    channel: Channel
    settings: Settings
    is_up: bool = False
    expected: int = -1
    answer: asyncio.Future[str | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def ask(self, message: Prepare | Adopt) -> asyncio.Future[str | None]:
        """Send what is to be answered with `Done`; a worker that dies meanwhile has no problem."""
        self.expected = message.number
        self.answer = asyncio.get_running_loop().create_future()
        self.channel.send(message)
        return self.answer

    def settle(self, problem: str | None) -> None:
        """Take the answer."""
        if not self.answer.done():
            self.answer.set_result(problem)


class Workers:
    """The worker processes of one gateway.

    Args:
        settings: The models' replicas must have addresses by now.
        listeners: The bound sockets that all of them accept from.
        target: What each runs; a module-level function.
        steering: Changes the configuration when a worker is asked to.
        launches: Tells what the launcher knows of a model's replicas.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Listeners,
        *,
        target: Entry,
        steering: Steering,
        launches: Callable[[str], tuple[ReplicaStatus, ...]],
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._target = target
        self._steering = steering
        self._launches = launches
        self._told: LaunchStates = {}
        self._context = multiprocessing.get_context("spawn")
        self._is_stopping = False
        self._workers: set[_Worker] = set()
        self._wishes: set[asyncio.Task[None]] = set()
        self._number = 0
        self._folder = Path(tempfile.mkdtemp(prefix="lmaas-workers-"))
        self.metrics = Metrics(folder=TallyFolder(self._folder, "parent"))

    @property
    def pids(self) -> set[int]:
        """The process ids of the workers that run."""
        return {worker.process.pid for worker in self._workers if worker.process.pid is not None}

    async def run(self, report: Callable[[str], None]) -> None:
        """Keep the workers running until SIGTERM or SIGINT, then stop them.

        Args:
            report: Takes lines for people.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        slots = self._settings.workers
        chores = asyncio.create_task(self._do_chores())
        # A thread for each, so that no death waits for another one to be noticed.
        joiners = ThreadPoolExecutor(slots, "lmaas-join")
        prepare_shared(self._settings, self._folder)
        try:
            seats = (Seat(self._folder, slot, slots) for slot in range(slots))
            await asyncio.gather(*(self._keep(seat, joiners, report) for seat in seats))
        finally:
            chores.cancel()
            joiners.shutdown(wait=False)
            shutil.rmtree(self._folder, ignore_errors=True)
            drop_shared(self._folder)

    async def change(self, settings: Settings) -> None:
        """Let all workers serve by `settings`, or none.

        Raises:
            SettingsError: one of them could not prepare it.
        """
        asked = [worker for worker in self._workers if worker.is_up]
        self._number += 1
        prepared = [worker.ask(Prepare(self._number, settings)) for worker in asked]
        problem = await _first_problem(prepared)
        if problem is not None:
            for worker in asked:
                worker.channel.send(Discard(self._number))
            raise SettingsError(problem)
        self._settings = settings
        self._number += 1
        adopted = []
        for worker in asked:
            worker.settings = settings
            adopted.append(worker.ask(Adopt(self._number)))
        for worker in self._workers:
            self._bring_up_to_date(worker)
        if await _first_problem(adopted) is not None:
            _LOG.warning("a worker does not answer; it changes as soon as it can")

    async def renew_tls(self) -> None:
        """Have all workers read the files of TLS again; one that begins now reads them anyway."""
        for worker in self._workers:
            if worker.is_up:
                worker.channel.send(RenewTls())

    def calls_at(self, model: str, url: str) -> int:
        """Count the calls that a replica works on, for all workers."""
        seat = Seat(self._folder, 0, self._settings.workers)
        return SharedBoard(seat).number(calls_name(model, url)).total()

    async def _keep(self, seat: Seat, joiners: ThreadPoolExecutor, report: Callable[[str], None]) -> None:
        """Run one worker, and another one whenever it dies."""
        while not self._is_stopping:
            worker = await self._start(seat)
            listening = asyncio.create_task(self._listen(worker))
            await asyncio.get_running_loop().run_in_executor(joiners, worker.process.join)
            self._workers.discard(worker)
            listening.cancel()
            worker.settle(None)
            worker.channel.close()
            clear_slot(seat.folder, seat.slot)
            free_slot(seat.folder, seat.slot)
            forget_gauges(seat.folder, str(seat.slot))
            if not self._is_stopping:
                process = worker.process
                report(f"worker {process.pid} ended with code {process.exitcode}; starting another")
                await asyncio.sleep(_RESTART_PAUSE_S)

    async def _start(self, seat: Seat) -> _Worker:
        settings = self._settings
        ours, theirs = socket.socketpair()
        with theirs:
            process = self._context.Process(
                target=_run, args=(self._target, settings, self._listeners, seat, theirs), daemon=True
            )
            # The first start would bring the tracker up, which lets through what is blocked here.
            resource_tracker.ensure_running()
            # It inherits this, so that a Ctrl-C finds no interpreter that has only half begun.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        worker = _Worker(process, await Channel.open(ours), settings)
        self._workers.add(worker)
        if self._is_stopping:
            # The signal came while it was started, and was not passed on to it.
            process.terminate()
        return worker

    async def _listen(self, worker: _Worker) -> None:
        async for message in worker.channel.messages():
            match message:
                case Hello():
                    worker.is_up = True
                    worker.channel.send(Launches(self._told))
                    self._bring_up_to_date(worker)
                case Done() if message.number == worker.expected:
                    worker.settle(message.problem)
                case Wish():
                    task = asyncio.create_task(self._grant(message, worker.channel))
                    self._wishes.add(task)
                    task.add_done_callback(self._wishes.discard)

    def _bring_up_to_date(self, worker: _Worker) -> None:
        """Tell a worker that came up, or was started, while the configuration changed."""
        if worker.is_up and worker.settings is not self._settings:
            worker.settings = self._settings
            worker.channel.send(Follow(self._settings))

    async def _grant(self, wish: Wish, channel: Channel) -> None:
        try:
            if wish.change is None:
                outcome = await self._steering.reload()
            else:
                outcome = await self._steering.change(wish.change)
        except GatewayError as error:
            channel.send(Answer(wish.number, error))
        else:
            channel.send(Answer(wish.number, outcome))

    async def _do_chores(self) -> None:
        while True:
            states = {model.name: self._launches(model.name) for model in self._settings.models}
            if states != self._told:
                self._told = states
                for worker in self._workers:
                    worker.channel.send(Launches(states))
            with contextlib.suppress(OSError):
                self.metrics.publish()
            await asyncio.sleep(_CHORES_INTERVAL_S)

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        self._terminate()
        if self._is_stopping:
            # Workers take one that follows closely for the first once more.
            loop.call_later(SAME_SIGNAL_S, self._terminate)
            return
        self._is_stopping = True
        grace_s = self._settings.drain_delay_s + self._settings.shutdown_timeout_s + _KILL_AFTER_S
        loop.call_later(grace_s, self._kill)

    def _terminate(self) -> None:
        for worker in self._workers:
            worker.process.terminate()

    def _kill(self) -> None:
        for worker in self._workers:
            worker.process.kill()


async def _first_problem(answers: Iterable[asyncio.Future[str | None]]) -> str | None:
    """Wait for all answers; give the first problem, which may be that one does not come."""
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            problems = await asyncio.gather(*answers)
    except TimeoutError:
        return f"a worker did not answer within {_ANSWER_TIMEOUT_S:.0f} s"
    return next((problem for problem in problems if problem is not None), None)


def _run(target: Entry, settings: Settings, listeners: Listeners, seat: Seat, link: socket.socket) -> None:
    """Begin a worker: it must not outlive the process that keeps its models."""
    # A reload is the parent's to begin, and a Ctrl-C, which the whole group gets, the parent's to pass on.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        _watch(parent.sentinel)
    target(settings, listeners, seat, link)


def _watch(sentinel: int) -> None:
    def end() -> None:
        connection.wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, name="lmaas-parent-watch", daemon=True).start()
