"""Several worker processes on one port: start them, replace one that dies, stop them together."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.board import Seat, clear_slot

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

    from lmaas_gateway.settings import Settings

_RESTART_PAUSE_S = 1.0
_KILL_AFTER_S = 10.0


class Target(Protocol):
    """What a worker process runs."""

    def __call__(self, settings: Settings, listener: socket.socket, seat: Seat) -> None:
        """Serve until told to stop."""


class Workers:
    """The worker processes of one gateway.

    Args:
        settings: The models' replicas must have addresses by now.
        listener: The bound socket that all of them accept from.
        target: What each runs; a module-level function.
        report: Takes lines for people.
    """

    def __init__(
        self, settings: Settings, listener: socket.socket, *, target: Target, report: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._target = target
        self._report = report
        self._context = multiprocessing.get_context("spawn")
        self._is_stopping = False
        self._processes: set[SpawnProcess] = set()
        # A thread for each, so that no death waits for another one to be noticed.
        self._joiners = ThreadPoolExecutor(settings.workers, "lmaas-join")

    async def run(self) -> None:
        """Keep the workers running until SIGTERM or SIGINT, then stop them."""
        loop = asyncio.get_running_loop()
        folder = Path(tempfile.mkdtemp(prefix="lmaas-workers-"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            slots = self._settings.workers
            await asyncio.gather(*(self._keep(Seat(folder, slot, slots)) for slot in range(slots)))
        finally:
            self._joiners.shutdown(wait=False)
            shutil.rmtree(folder, ignore_errors=True)

    async def _keep(self, seat: Seat) -> None:
        """Run one worker, and another one whenever it dies."""
        while not self._is_stopping:
            process = self._context.Process(
                target=_run, args=(self._target, self._settings, self._listener, seat), daemon=True
            )
            process.start()
            self._processes.add(process)
            await asyncio.get_running_loop().run_in_executor(self._joiners, process.join)
            self._processes.discard(process)
            clear_slot(seat.folder, seat.slot)
            if not self._is_stopping:
                self._report(f"worker {process.pid} ended with code {process.exitcode}; starting another")
                await asyncio.sleep(_RESTART_PAUSE_S)

    def _stop(self) -> None:
        self._is_stopping = True
        for process in self._processes:
            process.terminate()
        grace_s = self._settings.shutdown_timeout_s + _KILL_AFTER_S
        asyncio.get_running_loop().call_later(grace_s, self._kill)

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()


def _run(target: Target, settings: Settings, listener: socket.socket, seat: Seat) -> None:
    """Begin a worker: it must not outlive the process that keeps its models."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _watch(parent.sentinel)
    target(settings, listener, seat)


def _watch(sentinel: int) -> None:
    def end() -> None:
        connection.wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, name="lmaas-parent-watch", daemon=True).start()
