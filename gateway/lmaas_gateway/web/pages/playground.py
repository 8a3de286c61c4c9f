"""Trying models: conversations, and how alike texts are. What is said goes through the browser alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.web.site import Section

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

CALLS = "/ui/calls/"
"""Where one call is explained."""


class Playground:
    """The two pages; their scripts call models at `/ui/v1/…`.

    Args:
        site: Makes pages.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        site.section(Section("chat", "/ui/chat", "try"), self.show_chat)
        site.section(Section("embeddings", "/ui/embeddings", "try"), self.show_embeddings)

    async def show_chat(self, visitor: Visitor, request: Request) -> Response:
        """Show the page of conversations."""
        return self._render(visitor, request, "chat.html")

    async def show_embeddings(self, visitor: Visitor, request: Request) -> Response:
        """Show the page that compares lines."""
        return self._render(visitor, request, "embeddings.html")

    def _render(self, visitor: Visitor, request: Request, name: str) -> Response:
        principal = visitor.principal
        # What one account keeps in a browser, another that signs in there must not find.
        account = "" if principal is None else principal.key or principal.id
        # Without tenants no call is kept, so that none can be explained.
        calls = "" if visitor.is_open else CALLS
        return self._site.render(visitor, request, name, account=account, calls=calls)
