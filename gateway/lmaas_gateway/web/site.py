"""What all pages share: who looks, what may be seen, how a page is made, how a form is taken.

    site.page("/ui/keys", keys.show, "keys:read")
    site.action("/ui/keys", keys.create)

A handler takes the visitor and the request, and gives an answer. Of an action it takes the form's fields
too, which are read only once it is certain that a page of ours has sent them. What a handler raises becomes
a page that says so.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.routing import Route

from lmaas_gateway.errors import GatewayError, PermissionDeniedError
from lmaas_gateway.settings import is_loopback
from lmaas_gateway.web.cookies import new_visit
from lmaas_gateway.web.forgery import FIELD, require_own_page, require_token, token_of
from lmaas_gateway.web.forms import read_form

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.identity.roles import Permission
    from lmaas_gateway.web.rendering import Templates
    from lmaas_gateway.web.visitors import Door, Visitor

    Page = Callable[[Visitor, Request], Awaitable[Response]]
    Action = Callable[[Visitor, Request, Mapping[str, str]], Awaitable[Response]]

SIGN_IN = "/ui/sign-in"


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the navigation.

    Attributes:
        name: Its words are `base.nav.<name>`.
        needs: Who sees it.
        is_for_operators: Whether nobody else does.
    """

    name: str
    path: str
    group: str
    needs: Permission | None = None
    is_for_operators: bool = False


class Site:
    """Makes pages.

    Args:
        door: Recognises who looks.
        templates: What pages are made of.
        public_url: The origin of the pages, where it is not what browsers call this host.

    Attributes:
        routes: Of all pages, for Starlette.
        sections: The navigation.
    """

    def __init__(self, door: Door, templates: Templates, *, public_url: str | None = None) -> None:
        self.door = door
        self.public_url = public_url
        self.routes: list[Route] = []
        self.sections: list[Section] = []
        self._templates = templates

    def section(self, section: Section, page: Page) -> None:
        """Add a page that stands in the navigation."""
        self.sections.append(section)
        self.page(section.path, page, section.needs)

    def page(
        self, path: str, page: Page, needs: Permission | None = None, *, is_public: bool = False
    ) -> None:
        """Add a page.

        Args:
            path: Where.
            page: Makes it.
            needs: What one must be permitted to see it.
            is_public: Whether one need not be signed in.
        """
        endpoint = partial(self._show, page, needs=needs, is_public=is_public)
        self.routes.append(Route(path, endpoint, methods=["GET"]))

    def action(self, path: str, action: Action, *, is_public: bool = False) -> None:
        """Add something that a form does; `is_public` as for `page`."""
        self.routes.append(Route(path, partial(self._do, action, is_public=is_public), methods=["POST"]))

    def render(
        self, visitor: Visitor, request: Request, name: str, *, status: int = 200, **values: Any
    ) -> Response:
        """Make a page of a template; give the browser a cookie if it has none.

        Args:
            visitor: Who looks.
            request: What it asked.
            name: Of the template.
            status: Of the answer.
            **values: For it, beside what all have: `visitor`, `t` (its words), `csrf`, `path`, `asset`.
        """
        cookie = visitor.cookie or new_visit()
        shared = {
            "visitor": visitor,
            "t": visitor.words,
            "csrf": token_of(cookie),
            "sections": self._navigation(visitor),
            "path": request.scope["path"],
            "back": _address_of(request),
        }
        response = self._templates.render(name, shared | values, status)
        if not visitor.cookie:
            self.door.cookies.set(response, cookie)
        return response

    def refuse(self, visitor: Visitor, request: Request, error: GatewayError) -> Response:
        """Make the page that says what went wrong."""
        return self.render(visitor, request, "error.html", status=error.status, error=error)

    async def refuse_anybody(self, request: Request, error: GatewayError) -> Response:
        """Make the same page where nobody has asked yet who looks."""
        try:
            visitor = await self._recognise(request)
        except GatewayError:
            visitor = self.door.stranger(request)
        return self.refuse(visitor, request, error)

    def _navigation(self, visitor: Visitor) -> Mapping[str, list[Section]]:
        """Give the sections that somebody sees by their groups, in the order in which both were added."""
        groups: dict[str, list[Section]] = {}
        for section in self.sections:
            if visitor.can(section.needs) and (visitor.is_operator or not section.is_for_operators):
                groups.setdefault(section.group, []).append(section)
        return groups

    async def _show(
        self, page: Page, request: Request, *, needs: Permission | None, is_public: bool
    ) -> Response:
        visitor = await self._recognise(request)
        if visitor.principal is None and not is_public:
            return _to_sign_in(request)
        try:
            if not is_public:
                visitor.require(needs)
            return await page(visitor, request)
        except GatewayError as error:
            return self.refuse(visitor, request, error)

    async def _do(self, action: Action, request: Request, *, is_public: bool) -> Response:
        visitor = await self._recognise(request)
        try:
            require_own_page(request.headers, request.scope["scheme"], self.public_url)
            fields = await read_form(request)
            require_token(fields.pop(FIELD, ""), visitor.cookie)
            if visitor.principal is None and not is_public:
                return _to_sign_in(request)
            return await action(visitor, request, fields)
        except GatewayError as error:
            return self.refuse(visitor, request, error)

    async def _recognise(self, request: Request) -> Visitor:
        visitor = await self.door.recognise(request)
        if visitor.is_open:
            self._require_known_host(request)
        return visitor

    def _require_known_host(self, request: Request) -> None:
        """Where nobody needs a key, any name can be made to lead here; but not for a page at `localhost`.

        Raises:
            PermissionDeniedError: it was reached by another name.
        """
        host = request.headers.get("host", "").lower()
        name = (
            host.removesuffix(":" + host.rpartition(":")[2]) if host.rpartition(":")[2].isdecimal() else host
        )
        known = (self.public_url or "").partition("://")[2]
        if not is_loopback(name.strip("[]")) and host != known:
            raise PermissionDeniedError(
                "A gateway that needs no key shows its pages at `localhost` only; set `dashboard.public_url` "
                "to the address that you use."
            )


def new_once() -> str:
    """Make what a form holds so that, sent twice, it does what it does once."""
    return secrets.token_urlsafe(16)


def see_other(path: str) -> Response:
    """Send a browser on to a page, after a form was taken."""
    return RedirectResponse(path, 303)


def is_own_path(path: str) -> bool:
    """Tell whether this leads to a page of ours, and nowhere else, however a browser reads it."""
    is_below = path == "/ui" or path.startswith(("/ui/", "/ui?"))
    return is_below and path.isascii() and path.isprintable() and "\\" not in path


def _to_sign_in(request: Request) -> Response:
    wanted = _address_of(request) if request.method == "GET" else "/ui"
    return see_other(SIGN_IN if wanted == "/ui" else f"{SIGN_IN}?next={quote(wanted, safe='')}")


def _address_of(request: Request) -> str:
    query = request.scope["query_string"].decode("latin-1")
    address = quote(request.scope["path"], safe="/:@") + (f"?{query}" if query else "")
    return address if is_own_path(address) else "/ui"
