"""One question to a replica on a unix socket: is it serving?"""

from __future__ import annotations

import asyncio
import contextlib

_TARGETS = ("/health", "/v1/models")


async def is_serving(url: str) -> bool:
    """Tell whether the replica at `unix:/path` answers that it is well and has its model.

    Waits for as long as the replica does; the caller sets the deadline.
    """
    path = url.removeprefix("unix:")
    for target in _TARGETS:
        if not await _is_ok(path, target):
            return False
    return True


async def _is_ok(path: str, target: str) -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        with contextlib.closing(writer):
            writer.write(f"GET {target} HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n".encode())
            status_line = await reader.readline()
    except OSError:
        return False
    return status_line.split(b" ", 2)[1:2] == [b"200"]
