"""`/admin/v1/live`: the numbers of now, once or as server-sent events, one a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from lmaas_gateway.administration.operations import Operation
from lmaas_gateway.api.reading import read_query
from lmaas_gateway.live import DEFAULT_WINDOW_S, LiveView

if TYPE_CHECKING:
    from starlette.requests import Request

    from lmaas_gateway.api.fleet import Admittance
    from lmaas_gateway.live import Live

_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_EVENTS = "text/event-stream"


class LiveQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How far back to look.

    Attributes:
        window_s: In seconds.
        seconds: Whether each second of the window is told of; not with server-sent events.
    """

    window_s: Annotated[int, msgspec.Meta(ge=1, le=900)] = DEFAULT_WINDOW_S
    seconds: bool = False


LIVE_OPERATION = Operation(
    "GET",
    "/live",
    "live.show",
    "metrics:read",
    LiveView,
    "Show the numbers of now: once, or with `Accept: text/event-stream` as an event a second.",
    query=LiveQuery,
)


class LiveRoutes:
    """The route of the numbers of now.

    Args:
        live: Has them.
        admittance: Knows who may see them.
    """

    def __init__(self, live: Live, admittance: Admittance) -> None:
        self._live = live
        self._admittance = admittance

    def routes(self) -> list[Route]:
        """List it for Starlette."""
        return [Route("/admin/v1" + LIVE_OPERATION.path, self.show, methods=[LIVE_OPERATION.method])]

    async def show(self, request: Request) -> Response:
        """Answer with the numbers of now."""
        await self._admittance.require_sight(request)
        query = read_query(request, LiveQuery)
        if _EVENTS in request.headers.get("accept", ""):
            return StreamingResponse(self._live.events(query.window_s), 200, _HEADERS, _EVENTS)
        if query.seconds:
            view = self._live.snapshot(query.window_s, has_seconds=True)
            return Response(msgspec.json.encode(view), 200, _HEADERS, "application/json")
        return Response(self._live.encoded(query.window_s), 200, _HEADERS, "application/json")
