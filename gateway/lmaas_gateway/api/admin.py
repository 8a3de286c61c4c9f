"""`/admin/v1/`: what serves and how busy it is, and changes of that while it serves.

There is none of it unless `admin_key` is set. Changes go to the configuration (`configuration/live.py`),
which answers when they have taken effect, in every worker.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from pydantic import ValidationError
from starlette.responses import JSONResponse
from starlette.routing import Route

from lmaas_gateway.administration.actor import OPERATOR, Actor
from lmaas_gateway.administration.operations import Operation
from lmaas_gateway.administration.requests import Nothing
from lmaas_gateway.api.reading import read_body
from lmaas_gateway.configuration.changes import (
    AddReplica,
    ChangeReplica,
    RemoveReplica,
    Reset,
)
from lmaas_gateway.errors import InvalidConfigurationError
from lmaas_gateway.settings import ReplicaSettings, explain, mask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.deeds import Deeds
    from lmaas_gateway.api.operators import OperatorKey
    from lmaas_gateway.configuration.changes import Change
    from lmaas_gateway.configuration.live import Outcome
    from lmaas_gateway.configuration.steering import Steering
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.replicas.pool import Pool, Replica
    from lmaas_gateway.settings import Settings

    Handler = Callable[[Request], Awaitable[Response]]


_OPERATOR = Actor(OPERATOR, "operator", "owner")


class NewReplica(msgspec.Struct, forbid_unknown_fields=True):
    """A replica that already runs."""

    model: str
    url: str
    name: str = ""
    api_key: str | None = None
    ca_file: str | None = None
    weight: float = 1.0
    draining: bool = False


class ReplicaChange(msgspec.Struct, forbid_unknown_fields=True):
    """What changes of a replica."""

    weight: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None
    draining: bool | None = None


def _operation(method: str, path: str, name: str, text: str, body: Any = None) -> Operation:
    return Operation(
        method, path, f"fleet.{name}", "operator", dict[str, Any], text, query=Nothing, body=body
    )


FLEET_OPERATIONS = (
    _operation("GET", "/pools", "list_pools", "Show all pools, their replicas and their load."),
    _operation("GET", "/pools/{model:path}", "retrieve_pool", "Show one pool."),
    _operation(
        "POST",
        "/replicas",
        "add_replica",
        "Take a replica that already runs into a pool.",
        NewReplica,
    ),
    _operation(
        "PATCH",
        "/replicas/{name:path}",
        "change_replica",
        "Set a replica's weight, or let it drain, or take calls again.",
        ReplicaChange,
    ),
    _operation("DELETE", "/replicas/{name:path}", "remove_replica", "Take a replica out."),
    _operation("GET", "/config", "show_config", "Show the settings that serve, secrets masked."),
    _operation("POST", "/config/reload", "reload", "Read the configuration now."),
    _operation("POST", "/config/reset", "reset", "Forget what operators changed since the start."),
)
"""What operators do with models and replicas."""


class AdminRoutes:
    """The routes of operators.

    Args:
        key: Knows them.
        settings: Gives the configuration that serves.
        directory: Gives the models that are served.
        steering: Changes both.
        deeds: Write down what the operator changes.
    """

    def __init__(
        self,
        key: OperatorKey,
        *,
        settings: Callable[[], Settings],
        directory: Callable[[], Directory],
        steering: Steering,
        deeds: Deeds,
    ) -> None:
        self._key = key
        self._settings = settings
        self._directory = directory
        self._steering = steering
        self._deeds = deeds

    def routes(self) -> list[Route]:
        """List them for Starlette."""
        return [
            Route(
                "/admin/v1" + operation.path,
                self._guard(getattr(self, operation.name.removeprefix("fleet."))),
                methods=[operation.method],
            )
            for operation in FLEET_OPERATIONS
        ]

    async def list_pools(self, request: Request) -> Response:
        """Answer with all pools, their replicas, and those replicas that finish their last calls."""
        del request
        directory = self._directory()
        return JSONResponse(
            {
                "object": "list",
                "data": [_describe_pool(pool, directory) for pool in directory],
                "leaving": [
                    {"name": replica.name, "in_flight": replica.load()[1]} for replica in directory.leaving
                ],
            }
        )

    async def retrieve_pool(self, request: Request) -> Response:
        """Answer with one pool."""
        directory = self._directory()
        return JSONResponse(_describe_pool(directory.find(request.path_params["model"]), directory))

    async def add_replica(self, request: Request) -> Response:
        """Take a replica that already runs into a pool, once it has been asked whether it is well."""
        fields = msgspec.to_builtins(await read_body(request, NewReplica))
        model = fields.pop("model")
        try:
            replica = ReplicaSettings.model_validate(fields)
        except ValidationError as error:
            raise InvalidConfigurationError(f"Nothing was changed: {explain(error)}.") from None
        detail = {"model": model, "url": replica.url}
        async with self._deeds.doing(_OPERATOR, "fleet.add_replica", ("replica", replica.name), **detail):
            return await self._change(AddReplica(model, replica))

    async def change_replica(self, request: Request) -> Response:
        """Set a replica's weight, or let it drain, or take calls again."""
        wanted = await read_body(request, ReplicaChange)
        name, detail = request.path_params["name"], msgspec.structs.asdict(wanted)
        async with self._deeds.doing(_OPERATOR, "fleet.change_replica", ("replica", name), **detail):
            return await self._change(ChangeReplica(name, wanted.weight, wanted.draining))

    async def remove_replica(self, request: Request) -> Response:
        """Take a replica out of its pool; it finishes the calls that it has."""
        name = request.path_params["name"]
        async with self._deeds.doing(_OPERATOR, "fleet.remove_replica", ("replica", name)):
            return await self._change(RemoveReplica(name))

    async def show_config(self, request: Request) -> Response:
        """Answer with the settings that serve, secrets masked."""
        del request
        return JSONResponse(mask(self._settings()))

    async def reload(self, request: Request) -> Response:
        """Read the configuration again."""
        del request
        async with self._deeds.doing(_OPERATOR, "fleet.reload", ("configuration", "file")):
            return _answer(await self._steering.reload())

    async def reset(self, request: Request) -> Response:
        """Forget what operators changed since the start."""
        del request
        async with self._deeds.doing(_OPERATOR, "fleet.reset", ("configuration", "changes")):
            return await self._change(Reset())

    async def _change(self, change: Change) -> Response:
        return _answer(await self._steering.change(change))

    def _guard(self, handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(request: Request) -> Response:
            self._key.require(request)
            return await handler(request)

        return guarded


def _answer(outcome: Outcome) -> Response:
    return JSONResponse({"changed": outcome.is_changed, "generation": outcome.generation})


def _describe_pool(pool: Pool, directory: Directory) -> dict[str, Any]:
    return {
        "object": "pool",
        "model": pool.name,
        "kind": pool.kind,
        "state": pool.state,
        "routing": pool.routing,
        "replicas": [_describe_replica(replica, directory) for replica in pool.replicas],
    }


def _describe_replica(replica: Replica, directory: Directory) -> dict[str, Any]:
    tokens, calls = replica.load()
    return {
        "name": replica.name,
        "url": directory.settings_of(replica).url,
        "ready": replica.is_ready,
        "draining": replica.is_draining,
        "weight": replica.weight,
        "in_flight": calls,
        "outstanding_tokens": tokens,
        "max_model_len": replica.max_model_len,
        "problem": replica.problem,
    }
