"""Which models are served here, and by which pools."""

from __future__ import annotations

import dataclasses
import difflib
import time
from functools import partial
from typing import TYPE_CHECKING

from lmaas_gateway.call import ROUTES
from lmaas_gateway.errors import ModelNotFoundError, UnsupportedRouteError
from lmaas_gateway.replicas.client import Address, ReplicaClient
from lmaas_gateway.replicas.pool import Pool, Replica, SharedLoad

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lmaas_gateway.board import SharedBoard
    from lmaas_gateway.call import Route
    from lmaas_gateway.replicas.pool import LaunchStatus
    from lmaas_gateway.settings import ModelKind, ModelSettings, ReplicaSettings, Settings

    Launches = Callable[[str], Sequence[LaunchStatus]]

_MAX_NAMES = 5


class Directory:
    """The pools by the public names of their models."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = dict(pools)

    @property
    def pools(self) -> Mapping[str, Pool]:
        """All pools, in the order of the configuration."""
        return self._pools

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def find(self, model: str, route: Route | None = None) -> Pool:
        """Find the pool of `model`, which must have `route` if one is given.

        Raises:
            ModelNotFoundError: no such model; close names are listed.
            UnsupportedRouteError: the model is of another kind; its routes are listed.
        """
        pool = self._pools.get(model)
        if pool is None:
            raise ModelNotFoundError(self._explain_missing(model), param="model")
        if route is not None and pool.kind not in route.kinds:
            paths = ", ".join(paths_of(pool.kind))
            message = (
                f"The model {model!r} is of kind {pool.kind}, which has no {route.path}. It has: {paths}."
            )
            raise UnsupportedRouteError(message, param="model")
        return pool

    def close(self) -> None:
        """Close the connections to all replicas."""
        for pool in self:
            for replica in pool.replicas:
                replica.client.close()

    def _explain_missing(self, model: str) -> str:
        shown = model if len(model) <= 100 else model[:97] + "..."
        close = difflib.get_close_matches(model[:256], self._pools, n=3, cutoff=0.5)
        if close:
            return f"No model {shown!r} is served here. Did you mean {' or '.join(map(repr, close))}?"
        names = ", ".join(map(repr, list(self._pools)[:_MAX_NAMES])) or "none"
        more = ", …" if len(self._pools) > _MAX_NAMES else ""
        return f"No model {shown!r} is served here. Served: {names}{more}."


def paths_of(kind: ModelKind) -> tuple[str, ...]:
    """List the public routes that a kind of model has."""
    return tuple(route.path for route in ROUTES if kind in route.kinds)


def build_directory(
    settings: Settings, launches: Launches | None = None, board: SharedBoard | None = None
) -> Directory:
    """Make the pools of all models.

    Args:
        settings: The replicas of its models must be addresses by now.
        launches: Tells what the launcher knows of a model's replicas.
        board: Where several workers share the load of each replica.
    """
    created = int(time.time())
    return Directory(
        {model.name: _build_pool(model, settings, created, launches, board) for model in settings.models}
    )


def _build_pool(
    model: ModelSettings,
    settings: Settings,
    created: int,
    launches: Launches | None,
    board: SharedBoard | None,
) -> Pool:
    addresses = () if isinstance(model.replicas, int) else model.replicas
    replicas = tuple(
        Replica(
            f"{model.name}-{index}",
            _build_client(address, settings),
            shared=None if board is None else _share_load(board, model.name, address.url),
            weight=address.weight,
            is_draining=address.draining,
        )
        for index, address in enumerate(addresses)
    )
    pool = Pool(model.name, model.kind or "chat", replicas, created, routing=model.routing)
    return pool if launches is None else dataclasses.replace(pool, launches=partial(launches, model.name))


def _share_load(board: SharedBoard, model: str, url: str) -> SharedLoad:
    # By address, not by name: it is the machine behind it that bears the load.
    return SharedLoad(board.number(f"calls {model} {url}"), board.number(f"tokens {model} {url}"))


def _build_client(replica: ReplicaSettings, settings: Settings) -> ReplicaClient:
    return ReplicaClient(
        Address.parse(replica),
        timeouts=settings.timeouts,
        api_key=None if replica.api_key is None else replica.api_key.get_secret_value(),
        max_connections=settings.max_connections_per_replica,
    )
