"""`/admin/v1/alerts`: what is wrong, and silences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from lmaas_gateway.administration.alerts import Alert, AlertList, SilenceAlert
from lmaas_gateway.administration.operations import Operation
from lmaas_gateway.administration.requests import Nothing
from lmaas_gateway.api.answering import answer
from lmaas_gateway.api.reading import read_body, read_query

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.alerts import Alerts
    from lmaas_gateway.api.fleet import Admittance

ALERT_OPERATIONS = (
    Operation(
        "GET", "/alerts", "alerts.list", "metrics:read", AlertList, "Show what is or was wrong.", Nothing
    ),
    Operation(
        "POST",
        "/alerts/{id}/silence",
        "alerts.silence",
        "fleet",
        Alert,
        "Have nobody told of an alert for a while; its end is told if its beginning was.",
        Nothing,
        SilenceAlert,
    ),
)


class AlertRoutes:
    """The routes of alerts.

    Args:
        alerts: Knows them.
        admittance: Knows who may see them, and who may silence them.
    """

    def __init__(self, alerts: Alerts, admittance: Admittance) -> None:
        self._alerts = alerts
        self._admittance = admittance

    def routes(self) -> list[Route]:
        """List them for Starlette."""
        return [
            Route("/admin/v1/alerts", self.list, methods=["GET"]),
            Route("/admin/v1/alerts/{id}/silence", self.silence, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Answer with all alerts."""
        await self._admittance.require_sight(request)
        read_query(request, Nothing)
        return answer(self._alerts.list())

    async def silence(self, request: Request) -> Response:
        """Silence one."""
        actor = await self._admittance.require_fleet(request)
        read_query(request, Nothing)
        wanted = await read_body(request, SilenceAlert)
        return answer(await self._alerts.silence(actor, request.path_params["id"], wanted))
