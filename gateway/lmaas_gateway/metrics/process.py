"""What the gateway's own processes take, added up over all workers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

from lmaas_gateway.loop_watch import count_tasks
from lmaas_gateway.metrics import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.metrics.recorder import Metrics


class ProcessUse:
    """Counts what this process takes.

    Args:
        metrics: Where it is counted.
        cpu_clock: CPU seconds of this process.
    """

    def __init__(self, metrics: Metrics, cpu_clock: Callable[[], float] = time.process_time) -> None:
        self._metrics = metrics
        self._cpu_clock = cpu_clock
        self._counted_s = 0.0
        process = psutil.Process()
        metrics.watch(names.WORKERS, lambda: [((), 1.0)])
        metrics.watch(names.GATEWAY_MEMORY, lambda: [((), process.memory_info().rss)])
        metrics.watch(names.LOOP_TASKS, lambda: [((), count_tasks())])

    def look(self) -> None:
        """Count the CPU time since the last look."""
        now_s = self._cpu_clock()
        self._metrics.count(names.GATEWAY_CPU, (), now_s - self._counted_s)
        self._counted_s = now_s
