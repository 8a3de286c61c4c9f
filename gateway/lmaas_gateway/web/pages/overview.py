"""The first page: which models serve, how well, and how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.web.site import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor


class Overview:
    """Shows the fleet.

    Args:
        site: Makes pages.
        directory: Gives the models.
    """

    def __init__(self, site: Site, directory: Callable[[], Directory]) -> None:
        self._site = site
        self._directory = directory
        site.section(Section("live", "/ui", "observe"), self.show)

    async def show(self, visitor: Visitor, request: Request) -> Response:
        """Show which models there are, to whoever may call them; what all tenants do, to who may see that."""
        return self._site.render(visitor, request, "overview.html", pools=list(self._directory()))
