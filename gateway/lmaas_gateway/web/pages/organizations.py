"""Which organization an operator looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.administration import requests
from lmaas_gateway.errors import PermissionDeniedError
from lmaas_gateway.web.forms import convert
from lmaas_gateway.web.site import Section

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.services import Services
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor


class OrganizationPages:
    """Lists organizations for operators, who choose one.

    Args:
        site: Makes pages.
        services: Know the organizations.
    """

    def __init__(self, site: Site, services: Services) -> None:
        self._site = site
        self._services = services
        site.section(
            Section("organizations", "/ui/organizations", "manage", is_for_operators=True), self.list
        )

    async def list(self, visitor: Visitor, request: Request) -> Response:
        """List them, the newest first."""
        actor = visitor.acting()
        if not actor.is_operator:
            raise PermissionDeniedError("This is for the operator of the gateway, who holds its `admin_key`.")
        query = {"after": request.query_params.get("after", ""), "limit": 100}
        page = await self._services.organizations.list(actor, convert(query, requests.Paging))
        return self._site.render(visitor, request, "organizations.html", page=page, chosen=actor.organization)
