"""All pages of one configuration together: the application below `/ui`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from lmaas_gateway.errors import GatewayError, InternalError, MethodNotAllowedError, NotFoundError
from lmaas_gateway.prices import prices_of
from lmaas_gateway.web.assets import PATH as ASSETS_PATH
from lmaas_gateway.web.assets import Assets
from lmaas_gateway.web.cookies import Cookies
from lmaas_gateway.web.forwarding import Forwarded
from lmaas_gateway.web.headers import SafeHeaders
from lmaas_gateway.web.live_page import LivePage
from lmaas_gateway.web.pages.alerts import AlertPages
from lmaas_gateway.web.pages.calls import CallPages
from lmaas_gateway.web.pages.entrance import Entrance
from lmaas_gateway.web.pages.keys import KeyPages
from lmaas_gateway.web.pages.limits import LimitPages
from lmaas_gateway.web.pages.models import ModelPages
from lmaas_gateway.web.pages.organizations import OrganizationPages
from lmaas_gateway.web.pages.overview import Overview
from lmaas_gateway.web.pages.playground import Playground
from lmaas_gateway.web.pages.quality import QualityPages
from lmaas_gateway.web.pages.usage import UsagePages
from lmaas_gateway.web.rendering import Templates
from lmaas_gateway.web.site import Site
from lmaas_gateway.web.visitors import Door

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from lmaas_gateway.administration.alerts import Alerts
    from lmaas_gateway.administration.calls import Calls
    from lmaas_gateway.administration.fleet import Fleet
    from lmaas_gateway.administration.services import Services
    from lmaas_gateway.api.operators import OperatorKey
    from lmaas_gateway.identity.authenticator import Authenticator
    from lmaas_gateway.live import Live
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.web.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Sources:
    """What pages show and change.

    Attributes:
        authenticator: Knows whom keys stand for.
        operator_key: Knows the operator.
        services: Those of administrators; None where there are no tenants.
        directory: Gives the models that are served.
        live: Has the numbers of now.
        fleet: Starts and stops models.
        calls: Knows the last calls.
        alerts: Knows what is wrong.
    """

    authenticator: Authenticator
    operator_key: OperatorKey
    services: Services | None
    directory: Callable[[], Directory]
    live: Live
    fleet: Fleet
    calls: Calls
    alerts: Alerts


class Web:
    """The pages of one configuration.

    Args:
        settings: That configuration.
        sessions: Of browsers; they outlive configurations.
        sources: What the pages show.

    Attributes:
        application: Serves `/ui` and all below it but `/ui/v1`.
    """

    def __init__(self, settings: Settings, sessions: Sessions, sources: Sources) -> None:
        public_url = settings.dashboard.public_url
        is_https = settings.tls.cert_file is not None or (public_url or "").startswith("https:")
        door = Door(
            sessions,
            Cookies(is_https),
            authenticator=sources.authenticator,
            operator_key=sources.operator_key,
            services=sources.services,
        )
        assets = Assets()
        templates = Templates(assets)
        self._site = Site(door, templates, public_url=public_url)
        live = LivePage(sources.live, templates, alerts=sources.alerts, prices=prices_of(settings.models))
        _add_pages(self._site, live, sources)
        self.application: ASGIApp = SafeHeaders(self._build(assets), is_https=is_https)

    def forward(self, endpoint: ASGIApp) -> ASGIApp:
        """Open an endpoint of `/v1/…` to browsers that are signed in, at `/ui/v1/…`."""
        return Forwarded(self._site, endpoint)

    def _build(self, assets: Assets) -> ASGIApp:
        starlette = Starlette(
            routes=[Route(ASSETS_PATH + "{version}/{name:path}", assets.serve), *self._site.routes],
            exception_handlers={
                HTTPException: self._answer_http_exception,
                GatewayError: self._answer_error,
                500: self._answer_crash,
            },
        )
        starlette.router.redirect_slashes = False
        return starlette

    async def _answer_http_exception(self, request: Request, exc: Exception) -> Response:
        if cast("HTTPException", exc).status_code == 405:
            return await self._site.refuse_anybody(
                request, MethodNotAllowedError("This page does not take that.")
            )
        return await self._site.refuse_anybody(request, NotFoundError("There is no such page."))

    async def _answer_error(self, request: Request, exc: Exception) -> Response:
        return self._site.refuse(self._site.door.stranger(request), request, cast("GatewayError", exc))

    async def _answer_crash(self, request: Request, exc: Exception) -> Response:
        del exc
        error = InternalError("The gateway failed on this page; try again.")
        return self._site.refuse(self._site.door.stranger(request), request, error)


def _add_pages(site: Site, live: LivePage, sources: Sources) -> None:
    """Put the pages in the order of the navigation."""
    Overview(site, live, sources.directory)
    CallPages(site, sources.calls)
    if sources.services is not None:
        UsagePages(site, sources.services, models=lambda: sources.directory().pools)
        QualityPages(site, sources.services)
    AlertPages(site, sources.alerts)
    ModelPages(site, sources.fleet)
    if sources.services is not None:
        KeyPages(site, sources.services)
        LimitPages(site, sources.services, models=lambda: sources.directory().pools)
        OrganizationPages(site, sources.services)
    Playground(site)
    Entrance(site)
