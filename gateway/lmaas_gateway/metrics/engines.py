"""Take over what replicas count themselves: the counts of each engine, added up over its restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.metrics import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lmaas_gateway.metrics.names import Spec
    from lmaas_gateway.metrics.recorder import Metrics
    from lmaas_gateway.replicas.engine_stats import EngineStats
    from lmaas_gateway.replicas.pool import Pool, Replica

_COUNTS: Mapping[Spec, Callable[[EngineStats], float]] = {
    names.PREFIX_QUERIES: lambda stats: stats.prefix_queries,
    names.PREFIX_HITS: lambda stats: stats.prefix_hits,
    names.PREEMPTIONS: lambda stats: stats.preemptions,
}


class EngineCounts:
    """Counts what replicas counted since it first saw them. Of several workers, one has it.

    Were each reading passed on as it is, readings of several workers would seem to fall, and Prometheus
    would take that for a restart.

    Args:
        metrics: Where it is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._seen: dict[Replica, EngineStats] = {}

    def look(self, pools: Iterable[Pool]) -> None:
        """Count what has been added since the last look."""
        before, self._seen = self._seen, {}
        for pool in pools:
            for replica in pool.replicas:
                seen, stats = before.get(replica), replica.stats
                if stats is not None and seen is not None and stats is not seen:
                    self._count((pool.name, replica.name), seen, stats)
                if (latest := stats or seen) is not None:
                    self._seen[replica] = latest

    def _count(self, labels: tuple[str, str], before: EngineStats, now: EngineStats) -> None:
        is_another = before.started_at != now.started_at
        for spec, read in _COUNTS.items():
            base = 0.0 if is_another or read(now) < read(before) else read(before)
            self._metrics.count(spec, labels, read(now) - base)
