"""Signing in and out, and what one chooses for oneself: language, and, as an operator, an organization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.errors import AuthenticationError, GatewayError
from lmaas_gateway.web.cookies import new_visit
from lmaas_gateway.web.site import SIGN_IN, is_own_path, see_other
from lmaas_gateway.web.words import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor


class Entrance:
    """The way in and out.

    Args:
        site: Makes pages.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        site.page(SIGN_IN, self.show, is_public=True)
        site.action(SIGN_IN, self.sign_in, is_public=True)
        site.action("/ui/sign-out", self.sign_out, is_public=True)
        site.action("/ui/language", self.choose_language, is_public=True)
        site.action("/ui/organization", self.choose_organization)

    async def show(self, visitor: Visitor, request: Request) -> Response:
        """Ask for a key."""
        if visitor.principal is not None and not visitor.is_open:
            return see_other("/ui")
        return self._form(visitor, request, request.query_params.get("next", ""), visitor.ended)

    async def sign_in(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """Begin a session, if the key is valid."""
        credential = fields.get("key", "").strip().encode()
        wanted = fields.get("next", "")
        door = self._site.door
        try:
            await door.identify(credential, request.scope)
        except AuthenticationError as error:
            return self._form(visitor, request, wanted, error, status=error.status)
        # Always a new one: nobody signs in with a cookie that somebody else may have chosen.
        token = await door.sessions.begin(credential)
        await door.sessions.end(visitor.cookie)
        response = see_other(wanted if is_own_path(wanted) else "/ui")
        door.cookies.set(response, token, door.sessions.lifetime_s)
        return response

    async def sign_out(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """End the session."""
        del request, fields
        await self._site.door.sessions.end(visitor.cookie)
        response = see_other(SIGN_IN)
        self._site.door.cookies.set(response, new_visit())
        return response

    async def choose_language(
        self, visitor: Visitor, request: Request, fields: Mapping[str, str]
    ) -> Response:
        """Remember a language."""
        del visitor, request
        response = see_other(_back(fields))
        if fields.get("language") in LANGUAGES:
            self._site.door.cookies.set_choice(response, "language", fields["language"])
        return response

    async def choose_organization(
        self, visitor: Visitor, request: Request, fields: Mapping[str, str]
    ) -> Response:
        """Remember the organization that an operator looks at; what it may see is asked at each page."""
        del visitor, request
        response = see_other(_back(fields))
        self._site.door.cookies.set_choice(response, "organization", fields.get("organization", "")[:64])
        return response

    def _form(
        self,
        visitor: Visitor,
        request: Request,
        wanted: str,
        problem: GatewayError | None,
        *,
        status: int = 200,
    ) -> Response:
        return self._site.render(
            visitor, request, "sign_in.html", status=status, next=wanted, problem=problem
        )


def _back(fields: Mapping[str, str]) -> str:
    wanted = fields.get("back", "")
    return wanted if is_own_path(wanted) else "/ui"
