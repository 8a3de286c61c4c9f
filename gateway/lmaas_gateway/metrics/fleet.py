"""The gauges of pools and their replicas, read when somebody asks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lmaas_gateway.metrics import names
from lmaas_gateway.replicas.pool import REPLICA_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lmaas_gateway.metrics.names import Spec
    from lmaas_gateway.metrics.recorder import Metrics
    from lmaas_gateway.replicas.engine_stats import EngineStats
    from lmaas_gateway.replicas.pool import Pool, Replica

_OF_REPLICA: Mapping[Spec, Callable[[Replica], float]] = {
    names.REPLICA_UP: lambda replica: replica.is_ready,
    names.REPLICA_SILENT: lambda replica: replica.is_silent and not replica.is_draining,
    names.IN_FLIGHT: lambda replica: replica.load()[1],
}
_OF_ENGINE: Mapping[Spec, Callable[[EngineStats], float]] = {
    names.RUNNING: lambda stats: stats.running,
    names.WAITING: lambda stats: stats.waiting,
    names.KV_CACHE_USAGE: lambda stats: stats.kv_cache_usage,
}


class FleetGauges:
    """Reads the gauges of the pools that serve.

    Args:
        pools: Gives them, by name.
    """

    def __init__(self, pools: Callable[[], Mapping[str, Pool]]) -> None:
        self._pools = pools

    def watch(self, metrics: Metrics) -> None:
        """Have them read whenever `metrics` are asked for."""
        metrics.watch(names.RETRY_BUDGET, self._budgets)
        metrics.watch(names.REPLICA_STATE, self._states)
        for spec, read in _OF_REPLICA.items():
            metrics.watch(spec, partial(self._of_replicas, read))
        for spec, tell in _OF_ENGINE.items():
            metrics.watch(spec, partial(self._of_engines, tell))

    def _replicas(self) -> Iterator[tuple[tuple[str, str], Replica]]:
        for pool in self._pools().values():
            for replica in pool.replicas:
                yield (pool.name, replica.name), replica

    def _budgets(self) -> Iterator[tuple[tuple[str], float]]:
        for pool in self._pools().values():
            yield (pool.name,), pool.retries.tokens

    def _states(self) -> Iterator[tuple[tuple[str, str, str], float]]:
        for labels, replica in self._replicas():
            for state in REPLICA_STATES:
                yield (*labels, state), replica.state == state

    def _of_replicas(self, read: Callable[[Replica], float]) -> Iterator[tuple[tuple[str, str], float]]:
        for labels, replica in self._replicas():
            yield labels, read(replica)

    def _of_engines(self, tell: Callable[[EngineStats], float]) -> Iterator[tuple[tuple[str, str], float]]:
        for labels, replica in self._replicas():
            if replica.stats is not None:
                yield labels, tell(replica.stats)
