"""The first page: which models serve, how well, and how much; kept up to date while it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from lmaas_gateway.errors import GatewayError
from lmaas_gateway.web.site import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.web.live_page import LivePage
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

_STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Overview:
    """Shows the fleet.

    Args:
        site: Makes pages.
        live: Makes what changes each second.
        directory: Gives the models that are served.
    """

    def __init__(self, site: Site, live: LivePage, directory: Callable[[], Directory]) -> None:
        self._site = site
        self._live = live
        self._directory = directory
        site.section(Section("live", "/ui", "observe"), self.show)
        site.page("/ui/live", self.follow, "metrics:read")
        site.page("/ui/live/history", self.history, "metrics:read")

    async def show(self, visitor: Visitor, request: Request) -> Response:
        """Show what all tenants do to who may see that, and to others which models they may call."""
        if not visitor.can("metrics:read"):
            scopes = visitor.signed_in().scopes
            pools = self._directory().permitted(scopes)
            return self._site.render(visitor, request, "models_for_callers.html", pools=pools)
        fragment = self._live.fragment(visitor.words.language)
        return self._site.render(visitor, request, "overview.html", fragment=fragment)

    async def follow(self, visitor: Visitor, request: Request) -> Response:
        """Send what changes, each second."""

        async def may_go_on() -> bool:
            try:
                return await self._site.door.still_permits(visitor.cookie, request.scope, "metrics:read")
            except GatewayError:
                # Nobody can tell now: what cannot be asked for is not taken away.
                return True

        events = self._live.events(visitor.words.language, may_go_on)
        return StreamingResponse(events, 200, _STREAM_HEADERS, "text/event-stream")

    async def history(self, visitor: Visitor, request: Request) -> Response:
        """Give the charts the seconds before."""
        del visitor, request
        return Response(self._live.history(), media_type="application/json")
