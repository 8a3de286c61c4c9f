"""`/admin/v1/models`: what is served, and the engines launched for it: started, stopped, their logs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from starlette.routing import Route

from lmaas_gateway.administration.fleet import EngineLog, LogQuery, Scale, ServedModel, ServedModels
from lmaas_gateway.administration.operations import Operation
from lmaas_gateway.administration.requests import Nothing
from lmaas_gateway.api.answering import answer
from lmaas_gateway.api.reading import read_body, read_query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.fleet import Fleet

    View = Callable[[Request], Awaitable[Response]]
    Change = Callable[[Request, Actor], Awaitable[Response]]

_MODEL = "/models/{model:path}"


class Admittance(Protocol):
    """Knows who may see the fleet, and who may change it."""

    async def require_sight(self, request: Request) -> None:
        """Let go on who may see it.

        Raises:
            GatewayError: the caller is not known, or may not.
        """
        ...

    async def require_fleet(self, request: Request) -> Actor:
        """Let go on who may change it, and give who that is.

        Raises:
            GatewayError: the caller is not known, or may not.
        """
        ...


MODEL_OPERATIONS = (
    Operation(
        "GET",
        "/models",
        "models.list",
        "metrics:read",
        ServedModels,
        "Show all models and replicas.",
        Nothing,
    ),
    Operation(
        "GET",
        _MODEL + "/log",
        "models.log",
        "fleet",
        EngineLog,
        "Show the end of the log of an engine that was launched here.",
        LogQuery,
    ),
    Operation(
        "GET", _MODEL, "models.show", "metrics:read", ServedModel, "Show one model and its replicas.", Nothing
    ),
    Operation(
        "POST",
        _MODEL + "/start",
        "models.start",
        "fleet",
        ServedModel,
        "Launch the engines of a model that is stopped, as many as the configuration wants.",
        Nothing,
    ),
    Operation(
        "POST",
        _MODEL + "/stop",
        "models.stop",
        "fleet",
        ServedModel,
        "End the engines of a model once they have finished their calls; new calls get 503 `model_stopped`.",
        Nothing,
    ),
    Operation(
        "POST",
        _MODEL + "/scale",
        "models.scale",
        "fleet",
        ServedModel,
        "Launch more or fewer engines of a model.",
        Nothing,
        Scale,
    ),
)
"""What is done with models as a whole; `/log`, `/start` and the like stand before a name's own slashes."""


class FleetRoutes:
    """The routes of models.

    Args:
        fleet: Does what is asked for.
        admittance: Knows who may.
    """

    def __init__(self, fleet: Fleet, admittance: Admittance) -> None:
        self._fleet = fleet
        self._admittance = admittance
        self._views: Mapping[str, View] = {"models.list": self.list, "models.show": self.show}
        self._changes: Mapping[str, Change] = {
            "models.log": self.log,
            "models.start": self.start,
            "models.stop": self.stop,
            "models.scale": self.scale,
        }

    def routes(self) -> Iterator[Route]:
        """List them for Starlette."""
        for operation in MODEL_OPERATIONS:
            endpoint = functools.partial(self._serve, operation)
            yield Route("/admin/v1" + operation.path, endpoint, methods=[operation.method])

    async def list(self, request: Request) -> Response:
        """Answer with all models."""
        read_query(request, Nothing)
        return answer(ServedModels(self._fleet.models()))

    async def show(self, request: Request) -> Response:
        """Answer with one model."""
        read_query(request, Nothing)
        return answer(self._fleet.show(_model(request)))

    async def start(self, request: Request, actor: Actor) -> Response:
        """Launch as many engines as the configuration wants."""
        read_query(request, Nothing)
        return await self._scale(request, actor, None)

    async def stop(self, request: Request, actor: Actor) -> Response:
        """End all engines of a model."""
        read_query(request, Nothing)
        return await self._scale(request, actor, 0)

    async def scale(self, request: Request, actor: Actor) -> Response:
        """Launch more or fewer engines."""
        read_query(request, Nothing)
        return await self._scale(request, actor, (await read_body(request, Scale)).replicas)

    async def log(self, request: Request, actor: Actor) -> Response:
        """Answer with the end of an engine's log."""
        del actor
        query = read_query(request, LogQuery)
        return answer(await self._fleet.log(_model(request), query.replica, lines=query.lines))

    async def _serve(self, operation: Operation, request: Request) -> Response:
        if operation.needs == "fleet":
            actor = await self._admittance.require_fleet(request)
            return await self._changes[operation.name](request, actor)
        await self._admittance.require_sight(request)
        return await self._views[operation.name](request)

    async def _scale(self, request: Request, actor: Actor, replicas: int | None) -> Response:
        return answer(await self._fleet.scale(actor, _model(request), replicas))


def _model(request: Request) -> str:
    name: str = request.path_params["model"]
    return name
