"""A world in a thread of its own, for tests that ask it from where nothing is awaited."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from security.worlds import Tenant, world_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from security.worlds import World


class Crashes(logging.Handler):
    """Every traceback that is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.name.startswith(("uvicorn", "asyncio")):
            self.texts.append(logging.Formatter().format(record))


class Threaded:
    """What the thread serves.

    Attributes:
        crashes: Tracebacks since the start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.crashes: list[str] = []
        self.port = 0
        self.tenant = Tenant("")

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with world_at(self._folder) as world:
                await self._publish(world)
                await self._stop.wait()
        finally:
            self._is_ready.set()

    async def _publish(self, world: World) -> None:
        self.tenant = await world.tenant("fuzzed")
        self.port = world.running.port
        self._is_ready.set()

    @contextlib.contextmanager
    def serving(self) -> Iterator[Threaded]:
        crashes = Crashes()
        self.crashes = crashes.texts
        logging.getLogger().addHandler(crashes)
        self._thread.start()
        try:
            assert self._is_ready.wait(30)
            assert self.port, "the world did not begin"
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)
            logging.getLogger().removeHandler(crashes)
