"""What is or was wrong, and silences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.administration.alerts import SilenceAlert
from lmaas_gateway.errors import GatewayError
from lmaas_gateway.web.forms import convert
from lmaas_gateway.web.site import Section, see_other

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.alerts import Alerts
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

_PATH = "/ui/alerts"


class AlertPages:
    """Shows alerts, and silences them for who may.

    Args:
        site: Makes pages.
        alerts: Knows them; it asks nobody who may.
    """

    def __init__(self, site: Site, alerts: Alerts) -> None:
        self._site = site
        self._alerts = alerts
        site.section(Section("alerts", _PATH, "observe", "metrics:read"), self.list)
        site.action(_PATH + "/silence", self.silence)

    async def list(self, visitor: Visitor, request: Request) -> Response:
        """List alerts, what fires first."""
        alerts = self._alerts.list(visitor.words.language).data
        return self._site.render(
            visitor, request, "alerts.html", alerts=alerts, may_change=may_change_fleet(visitor)
        )

    async def silence(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """Have nobody told of an alert for a while."""
        del request
        actor = visitor.acting()
        actor.require_fleet()
        wanted = convert({name: fields.get(name, "") for name in ("duration_s", "comment")}, SilenceAlert)
        await self._alerts.silence(actor, fields.get("id", ""), wanted)
        return see_other(_PATH)


def may_change_fleet(visitor: Visitor) -> bool:
    """Tell whether somebody may change what serves."""
    try:
        visitor.acting().require_fleet()
    except GatewayError:
        return False
    return True
