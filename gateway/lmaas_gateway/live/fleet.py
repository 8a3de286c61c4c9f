"""Models and replicas as they are now, with what ended at each in a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.live.history import total
from lmaas_gateway.live.sums import Sums
from lmaas_gateway.live.view import LiveEngine, LiveModel, LiveReplica
from lmaas_gateway.metrics import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.live.sums import Place
    from lmaas_gateway.replicas.pool import Pool, Replica


def describe_models(
    pools: Mapping[str, Pool],
    counted: Mapping[Place, Sums],
    *,
    window_s: int,
    waiting: Mapping[str, int],
    capacities: Mapping[tuple[str, ...], float],
) -> tuple[LiveModel, ...]:
    """Describe every model that is served.

    Args:
        pools: The models, by name.
        counted: What was counted in the window, by model and replica.
        window_s: How long that is.
        waiting: Calls in the queue, by model.
        capacities: Calls that its replicas take at once, by model.
    """
    # A replica may have answered calls for other models too, as their fallback.
    by_model, by_replica = _group(counted, 0), _group(counted, 1)
    found = []
    for pool in pools.values():
        sums = by_model.get(pool.name, Sums())
        replicas = tuple(
            _describe(replica, by_replica.get(replica.name, Sums()), window_s) for replica in pool.replicas
        )
        found.append(
            LiveModel(
                name=pool.name,
                kind=pool.kind,
                state=pool.state,
                in_flight=sum(replica.in_flight for replica in replicas),
                waiting=waiting.get(pool.name, 0),
                capacity=int(capacities.get((pool.name,), 0)),
                rejections=sums.count(names.REJECTIONS),
                queue_wait=sums.spread(names.QUEUE_WAIT),
                flow=sums.flow(window_s),
                replicas=replicas,
            )
        )
    return tuple(found)


def _group(counted: Mapping[Place, Sums], by: int) -> dict[str, Sums]:
    """Add up by model (0) or by replica (1)."""
    found: dict[str, list[Sums]] = {}
    for place, sums in counted.items():
        found.setdefault(place[by], []).append(sums)
    return {name: total(sums) for name, sums in found.items()}


def _describe(replica: Replica, sums: Sums, window_s: int) -> LiveReplica:
    tokens, calls = replica.load()
    stats = replica.stats if replica.is_ready else None
    return LiveReplica(
        name=replica.name,
        state=replica.state,
        problem=replica.problem,
        in_flight=calls,
        outstanding_tokens=tokens,
        flow=sums.flow(window_s),
        engine=None if stats is None else LiveEngine(stats.running, stats.waiting, stats.kv_cache_usage),
    )
