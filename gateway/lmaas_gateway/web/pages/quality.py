"""How good replies were, by day and model: flaws that were seen, and what callers said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.administration import requests
from lmaas_gateway.flaws import FLAWS
from lmaas_gateway.web.days import read_days, starts_until, this_day
from lmaas_gateway.web.forms import convert
from lmaas_gateway.web.pages.keys import list_projects
from lmaas_gateway.web.site import Section

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.services import Services
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

_PATH = "/ui/quality"


class QualityPages:
    """Shows what the quality watch saw, beside what callers said.

    Args:
        site: Makes pages.
        services: Add both up.
        today: Gives the day, in UTC.
    """

    def __init__(self, site: Site, services: Services, *, today: Callable[[], date] = this_day) -> None:
        self._site = site
        self._services = services
        self._today = today
        site.section(Section("quality", _PATH, "observe", "usage:read"), self.show)

    async def show(self, visitor: Visitor, request: Request) -> Response:
        """Show a line a day and model, the newest first."""
        actor, query = visitor.acting(), request.query_params
        days = read_days(query, self._today())
        narrowed = {name: query.get(name, "") for name in ("project", "model")}
        wanted = convert({"start": days.start, "end": days.end, **narrowed}, requests.QualityQuery)
        found = await self._services.quality.list(actor, wanted)
        projects = await list_projects(self._services, actor) if actor.organization else {}
        return self._site.render(
            visitor,
            request,
            "quality.html",
            days=days,
            today=self._today(),
            starts=starts_until(self._today()),
            query=narrowed,
            projects=projects,
            flaws=FLAWS,
            rows=sorted(found.data, key=lambda one: one.day, reverse=True),
        )
