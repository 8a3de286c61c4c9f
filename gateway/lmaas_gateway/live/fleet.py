"""Models and replicas as they are now, with what ended at each in a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.live.history import total
from lmaas_gateway.live.sums import Sums
from lmaas_gateway.live.view import LiveEngine, LiveGpu, LiveHost, LiveModel, LiveReplica
from lmaas_gateway.metrics import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmaas_gateway.live.sums import Place
    from lmaas_gateway.replicas.pool import Pool, Replica

    Gauges = Mapping[str, Mapping[tuple[str, ...], float]]
    """Values by metric and labels."""

_OF_GPU = (names.REPLICA_GPU_USE, names.REPLICA_GPU_POWER, names.REPLICA_GPU_MEMORY)


class FleetNow:
    """Describes every model that is served.

    Args:
        counted: What was counted in the window, by model and replica.
        window_s: How long that is.
        gauges: Those that are sums over all processes of the gateway.
        capacities: Calls that the replicas of a model take at once.
    """

    def __init__(
        self,
        counted: Mapping[Place, Sums],
        window_s: int,
        *,
        gauges: Gauges,
        capacities: Mapping[tuple[str, ...], float],
    ) -> None:
        # A replica may have answered calls for other models too, as their fallback.
        self._by_model, self._by_replica = _group(counted, 0), _group(counted, 1)
        self._window_s = window_s
        self._gauges = gauges
        self._waiting = waiting_of(gauges)
        self._capacities = capacities

    def models(self, pools: Iterable[Pool]) -> tuple[LiveModel, ...]:
        """Describe the models of these pools."""
        return tuple(map(self._model, pools))

    def _model(self, pool: Pool) -> LiveModel:
        sums = self._by_model.get(pool.name, Sums())
        replicas = tuple(self._replica(pool, replica) for replica in pool.replicas)
        return LiveModel(
            name=pool.name,
            kind=pool.kind,
            state=pool.state,
            in_flight=sum(replica.in_flight for replica in replicas),
            waiting=self._waiting.get(pool.name, 0),
            capacity=int(self._capacities.get((pool.name,), 0)),
            rejections=sums.count(names.REJECTIONS),
            queue_wait=sums.spread(names.QUEUE_WAIT),
            flow=sums.flow(self._window_s),
            replicas=replicas,
        )

    def _replica(self, pool: Pool, replica: Replica) -> LiveReplica:
        tokens, calls = replica.load()
        stats = replica.stats if replica.is_ready else None
        sums = self._by_replica.get(replica.name, Sums())
        return LiveReplica(
            name=replica.name,
            state=replica.state,
            problem=replica.problem,
            in_flight=calls,
            outstanding_tokens=tokens,
            flow=sums.flow(self._window_s),
            engine=None if stats is None else LiveEngine(stats.running, stats.waiting, stats.kv_cache_usage),
            host=self._host((pool.name, replica.name), sums),
        )

    def _host(self, place: Place, sums: Sums) -> LiveHost | None:
        memory_bytes = self._gauges.get(names.REPLICA_MEMORY.name, {}).get(place)
        if memory_bytes is None:
            return None
        readings = [self._gauges.get(spec.name, {}) for spec in _OF_GPU]
        found = sorted({labels[2] for reading in readings for labels in reading if labels[:2] == place})
        gpus = (LiveGpu(gpu, *(reading.get((*place, gpu)) for reading in readings)) for gpu in found)
        cpu_cores = sums.seconds(names.REPLICA_CPU) / max(1, self._window_s)
        return LiveHost(cpu_cores, memory_bytes, tuple(gpus))


def waiting_of(gauges: Gauges) -> dict[str, int]:
    """Count the calls that wait in the gateway's queues, by model."""
    waiting: dict[str, int] = {}
    for (model, *_), count in gauges.get(names.QUEUE_DEPTH.name, {}).items():
        waiting[model] = waiting.get(model, 0) + int(count)
    return waiting


def _group(counted: Mapping[Place, Sums], by: int) -> dict[str, Sums]:
    """Add up by model (0) or by replica (1)."""
    found: dict[str, list[Sums]] = {}
    for place, sums in counted.items():
        found.setdefault(place[by], []).append(sums)
    return {name: total(sums) for name, sums in found.items()}
