"""What a process and all that it started take of this machine."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil

_ProcessKey = tuple[int, float]
"""A process id, and when it began: ids are used again."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process and its descendants take.

    Attributes:
        pids: Theirs.
        memory_bytes: Resident memory; what several of them share counts once for each.
        cpu_s: CPU time of each, user and system, since it began.
    """

    pids: frozenset[int]
    memory_bytes: int
    cpu_s: dict[_ProcessKey, float] = field(default_factory=dict)

    def cpu_since(self, earlier: Footprint | None) -> float:
        """Give the CPU time in seconds that was used since an earlier look, or since they began."""
        before = {} if earlier is None else earlier.cpu_s
        return sum(max(0.0, seconds - before.get(key, 0.0)) for key, seconds in self.cpu_s.items())


def look_at(pid: int) -> Footprint | None:
    """Look at a process and its descendants; None if it is gone. It takes milliseconds: not for the loop."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    memory_bytes, cpu_s = 0, {}
    for process in family:
        try:
            with process.oneshot():
                memory_bytes += process.memory_info().rss
                times = process.cpu_times()
                cpu_s[process.pid, process.create_time()] = times.user + times.system
        except psutil.Error:
            # It ended meanwhile.
            continue
    return Footprint(frozenset(pid for pid, _ in cpu_s), memory_bytes, cpu_s)


def visible_gpus(pid: int) -> frozenset[str]:
    """Give the GPUs that a process was told to use, as `CUDA_VISIBLE_DEVICES` names them; empty if none."""
    try:
        told = psutil.Process(pid).environ().get("CUDA_VISIBLE_DEVICES", "")
    except psutil.Error:
        return frozenset()
    return frozenset(part.strip() for part in told.split(",") if part.strip())
