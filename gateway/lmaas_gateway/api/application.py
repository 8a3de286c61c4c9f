"""The Starlette application: routes, and an OpenAI error object for everything that is not 2xx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from lmaas_gateway.api import documents, openapi
from lmaas_gateway.api.bodies import BodyReader
from lmaas_gateway.api.client_watch import Silences
from lmaas_gateway.api.dispatch import Dispatcher, Parting
from lmaas_gateway.api.inference import InferenceEndpoint
from lmaas_gateway.api.naming import Naming
from lmaas_gateway.call import ROUTES
from lmaas_gateway.errors import GatewayError, InternalError, MethodNotAllowedError, NotFoundError
from lmaas_gateway.relay import error_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Lifespan

    from lmaas_gateway.accounting import Accounting
    from lmaas_gateway.api.bodies import BodyRoom
    from lmaas_gateway.api.operations import OperationRoutes
    from lmaas_gateway.pipeline import Pipeline
    from lmaas_gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class AdminSide:
    """The routes of operators and administrators, and where they are.

    Attributes:
        port: Of their own listener; None if they are beside the inference routes.
    """

    routes: Sequence[Route] = ()
    port: int | None = None


def build_application(
    *,
    pipeline: Pipeline,
    callers: Iterable[Route],
    accounting: Accounting,
    operations: OperationRoutes,
    settings: Settings,
    admin: AdminSide,
    body_room: BodyRoom,
    lifespan: Lifespan[Starlette],
) -> ASGIApp:
    """Put the routes together. Starlette knows the inference routes too, to refuse other methods on them.

    `callers` are routes beside those: models, and what callers say of replies.
    """
    silences = Silences(settings.stream_keep_alive_s)
    reader = BodyReader(settings.max_body_bytes, body_room)
    endpoints: dict[str, ASGIApp] = {
        route.path: InferenceEndpoint(
            route,
            pipeline=pipeline,
            accounting=accounting,
            bodies=reader,
            total_s=settings.timeouts.total_s,
            silences=silences,
        )
        for route in ROUTES
    }
    health = [Route("/livez", operations.livez), Route("/readyz", operations.readyz)]
    starlette = _starlette(
        *(Route(path, endpoint, methods=["POST"], name=path) for path, endpoint in endpoints.items()),
        *callers,
        Route(openapi.PUBLIC_PATH, documents.public),
        *health,
        Route("/metrics", operations.metrics),
        *(admin.routes if admin.port is None else ()),
        lifespan=lifespan,
    )
    public = _with_cors(Dispatcher(endpoints, Naming(starlette)), settings.cors_origins)
    if admin.port is None:
        return public
    return Parting(admin.port, Naming(_starlette(*admin.routes, *health)), public)


def _starlette(*routes: Route, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    starlette = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _answer_http_exception,
            GatewayError: _answer_error,
            500: _answer_crash,
        },
        lifespan=lifespan,
    )
    # A redirect would be built from the client's Host header.
    starlette.router.redirect_slashes = False
    return starlette


def _with_cors(application: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    if not origins:
        return application
    return CORSMiddleware(
        application,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        # Client libraries add many of their own; no cookie of the browser comes along.
        allow_headers=["*"],
        expose_headers=[
            "x-request-id",
            "x-lmaas-model",
            "retry-after",
            "x-should-retry",
            "idempotent-replayed",
            "x-lmaas-cache",
            "x-lmaas-queue-position",
            "x-lmaas-queue-wait-ms",
            "age",
        ],
    )


async def _answer_http_exception(request: Request, exc: Exception) -> Response:
    refusal = cast("HTTPException", exc)
    headers = dict(refusal.headers or {})
    path = request.scope["path"][:200]
    if refusal.status_code == 405:
        allowed = headers.get("Allow", "")
        return _response(
            MethodNotAllowedError(f"{path} does not take {request.method}; it takes {allowed}."), headers
        )
    return _response(NotFoundError(f"No route {path} here; the inference routes begin with /v1/."), headers)


async def _answer_error(request: Request, exc: Exception) -> Response:
    del request
    error = cast("GatewayError", exc)
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    return _response(error, headers)


async def _answer_crash(request: Request, exc: Exception) -> Response:
    del request, exc
    return _response(InternalError("The gateway failed on this request; retry."), {})


def _response(error: GatewayError, headers: dict[str, str]) -> Response:
    return Response(error_body(error, None), error.status, headers, media_type="application/json")
