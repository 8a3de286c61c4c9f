"""Notice that the configuration file has changed.

The file is looked at once a second rather than watched by the kernel: a Kubernetes ConfigMap swaps a link two
folders up, editors rename, network file systems tell nothing, and a look costs microseconds.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Stamp = tuple[int, int, int, int] | None

_SETTLE_S = 0.1
_MAX_SETTLING = 20


class FileWatch:
    """Calls when the content of a file has become another one, or can no longer be read.

    Args:
        path: Links are followed.
        changed: Called each time.
        interval_s: Pause between two looks.
        sleep: Waits that many seconds.
    """

    def __init__(
        self,
        path: Path,
        changed: Callable[[], Awaitable[object]],
        *,
        interval_s: float = 1.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._changed = changed
        self._interval_s = interval_s
        self._sleep = sleep
        self._stamp = _stamp(path)
        self._digest = _digest(path)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._sleep(self._interval_s)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        stamp = await asyncio.to_thread(_stamp, self._path)
        if stamp == self._stamp:
            return
        digest = await self._settled()
        self._stamp = stamp
        if digest != self._digest:
            self._digest = digest
            await self._changed()

    async def _settled(self) -> bytes | None:
        """Read until two reads are equal: who writes in place may be in the middle of it."""
        last = await asyncio.to_thread(_digest, self._path)
        for _ in range(_MAX_SETTLING):
            await self._sleep(_SETTLE_S)
            digest = await asyncio.to_thread(_digest, self._path)
            if digest == last:
                break
            last = digest
        return last


def _stamp(path: Path) -> Stamp:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ino, state.st_dev, state.st_size


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.blake2b(path.read_bytes()).digest()
    except OSError:
        return None
