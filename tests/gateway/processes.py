"""Looking at real processes from tests."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def is_alive(pid: int) -> bool:
    """Tell whether a process exists and is not just waiting to be collected."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def any_alive(pids: Iterable[int]) -> bool:
    return any(is_alive(pid) for pid in pids)


def group_members(group: int) -> list[int]:
    """Process ids of the living members of a process group."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            members.append(int(path.parent.name))
    return members


def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Return once `condition` holds; for what happens in another process."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


async def eventually(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """As `until`, while the event loop goes on."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)
