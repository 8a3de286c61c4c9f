"""Models: what serves them, and of those that the gateway launched, starting, stopping, scaling and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from lmaas_gateway.administration.fleet import LogQuery, Scale
from lmaas_gateway.web.forms import convert
from lmaas_gateway.web.pages.alerts import may_change_fleet
from lmaas_gateway.web.site import Section, see_other

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.fleet import Fleet
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

_PATH = "/ui/models"


class ModelPages:
    """Shows models and changes what the gateway launches of them.

    Args:
        site: Makes pages.
        fleet: Does what is asked for; it asks nobody who may.
    """

    def __init__(self, site: Site, fleet: Fleet) -> None:
        self._site = site
        self._fleet = fleet
        site.section(Section("models", _PATH, "manage", "metrics:read"), self.list)
        # A model's name may have slashes, so that it stands in queries and forms.
        site.page(_PATH + "/log", self.log, "metrics:read")
        site.action(_PATH + "/scale", self.scale)

    async def list(self, visitor: Visitor, request: Request) -> Response:
        """List models with what serves them."""
        return self._site.render(
            visitor, request, "models.html", models=self._fleet.models(), may_change=may_change_fleet(visitor)
        )

    async def log(self, visitor: Visitor, request: Request) -> Response:
        """Show the end of an engine's log, to who may start and stop it."""
        visitor.acting().require_fleet()
        query = request.query_params
        wanted = convert({name: query.get(name, "") for name in ("replica", "lines")}, LogQuery)
        model = query.get("model", "")
        log = await self._fleet.log(model, wanted.replica, lines=wanted.lines)
        return self._site.render(visitor, request, "model_log.html", model=model, log=log)

    async def scale(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """Launch more or fewer engines of a model: none to stop it, as many as configured to start it."""
        del request
        actor = visitor.acting()
        actor.require_fleet()
        replicas = None
        if fields.get("replicas"):
            replicas = convert({"replicas": fields["replicas"]}, Scale).replicas
        model = await self._fleet.scale(actor, fields.get("model", ""), replicas)
        return see_other(f"{_PATH}?{urlencode({'changed': model.model})}")
