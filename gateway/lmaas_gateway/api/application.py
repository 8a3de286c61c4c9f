"""The Starlette application: routes, and an OpenAI error object for everything that is not 2xx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

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
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import Lifespan

    from lmaas_gateway.accounting import Accounting
    from lmaas_gateway.api.bodies import BodyRoom
    from lmaas_gateway.api.operations import OperationRoutes
    from lmaas_gateway.pipeline import Pipeline
    from lmaas_gateway.settings import Settings


class Pages(Protocol):
    """The pages for people, at `/ui`."""

    @property
    def application(self) -> ASGIApp:
        """Serves all but calls of models."""
        ...

    def forward(self, endpoint: ASGIApp) -> ASGIApp:
        """Open an endpoint of `/v1/` to browsers that are signed in, at `/ui/v1/`."""
        ...


@dataclass(frozen=True, slots=True)
class AdminSide:
    """The routes of operators and administrators, their pages, and where both are.

    Attributes:
        port: Of their own listener; None if they are beside the inference routes.
        pages: None where there are none.
    """

    routes: Sequence[Route] = ()
    port: int | None = None
    pages: Pages | None = None


def build_application(
    *,
    pipeline: Pipeline,
    callers: Sequence[Route],
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
    admin_routes, forwarded = list(admin.routes), dict[str, ASGIApp]()
    if admin.pages is not None:
        admin_routes += _page_routes(admin.pages, callers)
        forwarded = {f"/ui{path}": admin.pages.forward(endpoint) for path, endpoint in endpoints.items()}
    starlette = _starlette(
        *(Route(path, endpoint, methods=["POST"], name=path) for path, endpoint in endpoints.items()),
        *callers,
        Route(openapi.PUBLIC_PATH, documents.public),
        *health,
        Route("/metrics", operations.metrics),
        *(admin_routes if admin.port is None else ()),
        lifespan=lifespan,
    )
    if admin.port is None:
        return _with_cors(Dispatcher(endpoints | forwarded, Naming(starlette)), settings.cors_origins)
    public = _with_cors(Dispatcher(endpoints, Naming(starlette)), settings.cors_origins)
    return Parting(admin.port, Dispatcher(forwarded, Naming(_starlette(*admin_routes, *health))), public)


def _page_routes(pages: Pages, callers: Sequence[Route]) -> list[Route]:
    """List the routes of the pages, all methods each: they answer themselves what they do not take."""
    return [
        Route("/ui/v1/{rest:path}", pages.forward(_starlette(*callers))),
        Route("/ui", pages.application),
        Route("/ui/{rest:path}", pages.application),
    ]


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
            "server-timing",
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
