"""Which models are served here, and by which pools."""

from __future__ import annotations

import difflib
import math
import random
import time
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING
from zlib import crc32

from lmaas_gateway.call import ROUTES, UNBOUND
from lmaas_gateway.errors import ModelNotFoundError, ModelNotPermittedError, UnsupportedRouteError
from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.breaker import Breaker
from lmaas_gateway.replicas.busy_clock import BusyClock
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.plans import Plan, build_plans
from lmaas_gateway.replicas.pool import Pool, Replica, SharedLoad
from lmaas_gateway.replicas.prefixes import HeldPrefixes
from lmaas_gateway.replicas.retry_budget import RetryBudget
from lmaas_gateway.settings import DEFAULT_MAX_IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
    from pathlib import Path

    from lmaas_gateway.board import SharedBoard
    from lmaas_gateway.call import Call, Principal, Route, Scopes
    from lmaas_gateway.replicas.pool import LaunchStatus
    from lmaas_gateway.settings import ModelKind, ReplicaSettings, Settings, TimeoutSettings

    Launches = Callable[[str], Sequence[LaunchStatus]]
    Identity = tuple[str, str, str | None, Path | None, Path | None, Path | None]

_MAX_NAMES = 5


class Directory:
    """The pools by the public names of their models.

    Args:
        pools: In the order of the configuration.
        plans: Where the calls for each name go; default: each model's own pool.
        placed: The replicas of all pools, and what each is to be.
        leaving: Replicas of former directories that are in none of the pools; they finish their calls.
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        plans: Mapping[str, Plan] | None = None,
        placed: Mapping[Replica, ReplicaSettings] = MappingProxyType({}),
        leaving: Mapping[Identity, Replica] = MappingProxyType({}),
    ) -> None:
        self._pools = dict(pools)
        self._plans = {name: Plan((pool,)) for name, pool in pools.items()} if plans is None else plans
        # Which calls are a canary's must be spread, not secret.
        self._uniform = random.Random().random  # noqa: S311 - nothing secret
        self._placed = placed
        self._leaving = dict(leaving)

    @property
    def pools(self) -> Mapping[str, Pool]:
        """All pools, in the order of the configuration."""
        return self._pools

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    @property
    def aliases(self) -> Mapping[str, Pool]:
        """The pools by the further names of their models."""
        return {name: plan.pools[0] for name, plan in self._plans.items() if name not in self._pools}

    def route(self, call: Call, principal: Principal) -> tuple[Pool, ...]:
        """Give the pools that may serve `call`, in the order in which they are to be tried.

        Raises:
            ModelNotPermittedError: the key's scopes do not hold it.
            ModelNotFoundError: no such model; close names are listed.
            UnsupportedRouteError: the model is of another kind; its routes are listed.
        """
        if principal.scopes.models:
            return self._route_within(principal.scopes, call, principal)
        return self._route(call, principal)

    def _route_within(self, scopes: Scopes, call: Call, principal: Principal) -> tuple[Pool, ...]:
        """Leave out what the key may not call: neither a canary nor a fallback leads around its scopes."""
        plan = self._plans.get(call.model)
        names = {call.model} if plan is None else {call.model, plan.pools[0].name}
        if not all(map(scopes.permits_model, names)):
            raise ModelNotPermittedError(
                f"The API key may not call the model {_shorten(call.model)!r}.", param="model"
            )
        pools = self._route(call, principal) if plan is not None else (self.find(call.model, None, scopes),)
        return tuple(pool for pool in pools if scopes.permits_model(pool.name))

    def _route(self, call: Call, principal: Principal) -> tuple[Pool, ...]:
        plan = self._plans.get(call.model)
        if plan is None or plan.pools[0].kind not in call.route.kinds:
            return (self.find(call.model, call.route),)
        canary = plan.canary
        if canary is not None and canary.takes(call, principal, self._uniform):
            return canary.pools
        return plan.pools

    def permitted(self, scopes: Scopes) -> dict[str, Pool]:
        """Give the pools of all names, aliases included, that a key of these scopes may call."""
        named = {**self._pools, **self.aliases}
        return {name: pool for name, pool in named.items() if _permits(scopes, name, pool)}

    def find(self, model: str, route: Route | None = None, scopes: Scopes = UNBOUND) -> Pool:
        """Find the pool of `model`, which must have `route` if one is given.

        Args:
            model: One of its names.
            route: What it is wanted for.
            scopes: What they do not hold is not there.

        Raises:
            ModelNotFoundError: no such model; close names are listed.
            UnsupportedRouteError: the model is of another kind; its routes are listed.
        """
        plan = self._plans.get(model)
        if plan is None or not _permits(scopes, model, plan.pools[0]):
            raise ModelNotFoundError(self._explain_missing(model, scopes), param="model")
        pool = plan.pools[0]
        if route is not None and pool.kind not in route.kinds:
            paths = ", ".join(paths_of(pool.kind))
            message = (
                f"The model {model!r} is of kind {pool.kind}, which has no {route.path}. It has: {paths}."
            )
            raise UnsupportedRouteError(message, param="model")
        return pool

    def settings_of(self, replica: Replica) -> ReplicaSettings:
        """Give what the configuration says of a replica of one of the pools."""
        return self._placed[replica]

    @property
    def leaving(self) -> Collection[Replica]:
        """The replicas that are in no pool any more and finish their last calls."""
        return self._leaving.values()

    def known(self) -> dict[Identity, Replica]:
        """Give all replicas by what makes each of them another one."""
        placed = (
            (identify(pool.name, self._placed[replica]), replica)
            for pool in self
            for replica in pool.replicas
            if replica in self._placed
        )
        return {**self._leaving, **dict(placed)}

    def find_unserved(self, previous: Directory) -> str | None:
        """Name a model that has a replica to serve it in `previous`, and would have none here.

        One that is to be stopped is not meant.
        """
        for name, pool in self._pools.items():
            old = previous.pools.get(name)
            will_serve = any(
                replica.is_ready and not self._placed[replica].draining for replica in pool.replicas
            )
            if old is not None and old.candidates(()) and pool.replicas and not will_serve:
                return name
        return None

    def succeed(self, previous: Directory, settings: Settings) -> None:
        """Take the place of `previous`: replicas that served before are now what this directory says.

        Calls that hold a pool of `previous`, waiting for a replica, get those of its successor.
        """
        for replica, wanted in self._placed.items():
            replica.client.limit(
                _timeouts(wanted, settings), settings.max_connections_per_replica, settings.max_reply_bytes
            )
            replica.breaker.follow(settings.ejection)
            replica.weight, replica.is_draining = wanted.weight, wanted.draining
            replica.max_in_flight = wanted.max_in_flight or DEFAULT_MAX_IN_FLIGHT
        # Calls of the old pools and of the new take from the same budget.
        for pool in self:
            pool.retries.follow(percent=settings.retries.percent, burst=_burst(settings))
        for old in previous:
            old.successor = self._pools.get(old.name)

    def close_idle(self) -> None:
        """Close the connections of leaving replicas that have no call left."""
        for identity, replica in tuple(self._leaving.items()):
            if replica.in_flight == 0:
                del self._leaving[identity]
                replica.client.close()

    def close(self, but: Collection[Replica] = ()) -> None:
        """Close the connections to all replicas `but` some."""
        kept = set(but)
        for replica in (*self._leaving.values(), *(replica for pool in self for replica in pool.replicas)):
            if replica not in kept:
                replica.client.close()

    def _explain_missing(self, model: str, scopes: Scopes) -> str:
        names = self.permitted(scopes) if scopes.models else self._plans
        shown = _shorten(model)
        close = difflib.get_close_matches(model[:256], names, n=3, cutoff=0.5)
        if close:
            return f"No model {shown!r} is served here. Did you mean {' or '.join(map(repr, close))}?"
        served = [name for name in self._pools if name in names]
        listed = ", ".join(map(repr, served[:_MAX_NAMES])) or "none"
        more = ", …" if len(served) > _MAX_NAMES else ""
        return f"No model {shown!r} is served here. Served: {listed}{more}."


def _shorten(model: str) -> str:
    return model if len(model) <= 100 else model[:97] + "..."


def _permits(scopes: Scopes, name: str, pool: Pool) -> bool:
    return scopes.permits_model(name) and scopes.permits_model(pool.name)


def paths_of(kind: ModelKind) -> tuple[str, ...]:
    """List the public routes that a kind of model has."""
    return tuple(route.path for route in ROUTES if kind in route.kinds)


def identify(model: str, replica: ReplicaSettings) -> Identity:
    """Tell what makes a replica another one: a change of these needs new connections."""
    key = None if replica.api_key is None else replica.api_key.get_secret_value()
    return model, replica.url, key, replica.ca_file, replica.cert_file, replica.key_file


def build_directory(
    settings: Settings,
    launches: Launches | None = None,
    board: SharedBoard | None = None,
    previous: Directory | None = None,
) -> Directory:
    """Make the pools of all models. Nothing that serves is changed yet: that is for `Directory.succeed`.

    Args:
        settings: The replicas of its models must be addresses by now.
        launches: Tells what the launcher knows of a model's replicas.
        board: Where several workers share the load of each replica.
        previous: Its replicas that are wanted again keep their connections, readiness and load.

    Raises:
        SettingsError: a replica's CA file cannot be used, or a model stands in for one of another kind.
    """
    known = {} if previous is None else previous.known()
    taken = {replica.name for replica in known.values()}
    placed: dict[Replica, ReplicaSettings] = {}
    pools = {}
    for model in settings.models:
        addresses = () if isinstance(model.replicas, int) else tuple(map(model.complete, model.replicas))
        names = _free_names(model.name, taken)
        replicas = tuple(
            known.pop(identity)
            if (identity := identify(model.name, address)) in known
            else _build_replica(next(names), model.name, address, settings, board)
            for address in addresses
        )
        placed.update(zip(replicas, addresses, strict=True))
        old = None if previous is None else previous.pools.get(model.name)
        created = int(time.time()) if old is None else old.created
        pool = Pool(
            model.name,
            model.kind or "chat",
            replicas,
            created,
            routing=model.routing,
            ejection=settings.ejection,
            retries=_build_budget(settings) if old is None else old.retries,
            max_in_flight_tokens=model.max_in_flight_tokens,
            has_priorities=model.priority_scheduling,
            has_salts=model.cache_salt,
        )
        if launches is not None:
            pool.launches = partial(launches, model.name)
        pools[model.name] = pool
    return Directory(pools, build_plans(settings.models, pools), placed, leaving=known)


def _free_names(model: str, taken: Container[str]) -> Iterator[str]:
    """Number the replicas that have no name of their own, past those that still go by a number."""
    return (name for number in count() if (name := f"{model}-{number}") not in taken)


def _build_replica(
    name: str, model: str, address: ReplicaSettings, settings: Settings, board: SharedBoard | None
) -> Replica:
    shared = None if board is None else _share_load(board, model, address.url)
    replica = Replica(
        address.name or name,
        _build_client(address, settings),
        weight=address.weight,
        is_draining=address.draining,
        max_in_flight=address.max_in_flight or DEFAULT_MAX_IN_FLIGHT,
        shared=shared,
        prefixes=HeldPrefixes(shared=None if board is None else board.marks(f"read {model} {address.url}")),
        seed=crc32(address.url.encode()),
        breaker=Breaker(settings.ejection),
        busy=None if settings.open else BusyClock(),
    )
    replica.client.tell_losses(replica.alarm.set)
    return replica


def _build_budget(settings: Settings) -> RetryBudget:
    return RetryBudget(percent=settings.retries.percent, burst=_burst(settings))


def _burst(settings: Settings) -> int:
    """Give each worker its part of the retries that a pool may have at once."""
    return math.ceil(settings.retries.burst / settings.workers)


def calls_name(model: str, url: str) -> str:
    """Name the shared number of calls that a replica works on."""
    return f"calls {model} {url}"


def _share_load(board: SharedBoard, model: str, url: str) -> SharedLoad:
    # By address, not by name: it is the machine behind it that bears the load.
    return SharedLoad(board.number(calls_name(model, url)), board.number(f"tokens {model} {url}"))


def _build_client(replica: ReplicaSettings, settings: Settings) -> ReplicaClient:
    return ReplicaClient(
        Address.parse(replica),
        timeouts=_timeouts(replica, settings),
        api_key=None if replica.api_key is None else replica.api_key.get_secret_value(),
        max_connections=settings.max_connections_per_replica,
        max_reply_bytes=settings.max_reply_bytes,
    )


def _timeouts(replica: ReplicaSettings, settings: Settings) -> TimeoutSettings:
    if replica.first_byte_s is None:
        return settings.timeouts
    return settings.timeouts.model_copy(update={"first_byte_s": replica.first_byte_s})
