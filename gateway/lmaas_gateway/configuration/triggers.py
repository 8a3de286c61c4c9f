"""What makes a gateway read its configuration again without being asked over HTTP: its file, and SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from lmaas_gateway.configuration.watch import FileWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lmaas_gateway.configuration.live import Configuration


@contextlib.asynccontextmanager
async def follow(
    configuration: Configuration, path: Path | None, *, has_tls: bool = False
) -> AsyncIterator[None]:
    """Reload when the file at `path` changes and at SIGHUP, for as long as the block runs.

    Without a file and without TLS there is nothing to read again, and SIGHUP means what it always does: the
    terminal is gone.
    """
    if path is None and not has_tls:
        yield
        return
    tasks: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        # The configuration has logged and counted it, and nothing may end the watch: later files may be good.
        with contextlib.suppress(Exception):
            await configuration.reload()

    def hang_up() -> None:
        task = asyncio.create_task(reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    if path is not None:
        tasks.add(asyncio.create_task(FileWatch(path, reload).run()))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        for task in tasks:
            task.cancel()
