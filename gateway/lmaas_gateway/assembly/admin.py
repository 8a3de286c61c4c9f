"""The routes of operators and of administrators, and the pages for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from lmaas_gateway.administration.alerts import Alerts
from lmaas_gateway.administration.calls import Calls
from lmaas_gateway.administration.deeds import Deeds
from lmaas_gateway.administration.fleet import Fleet
from lmaas_gateway.administration.open_services import OpenServices
from lmaas_gateway.administration.operations import CALLS
from lmaas_gateway.api import documents, openapi
from lmaas_gateway.api.admin import AdminRoutes
from lmaas_gateway.api.alerts import AlertRoutes
from lmaas_gateway.api.application import AdminSide
from lmaas_gateway.api.fleet import FleetRoutes
from lmaas_gateway.api.live import LiveRoutes
from lmaas_gateway.api.logs import LogRoutes
from lmaas_gateway.api.tenants import TenantRoutes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmaas_gateway.api.operators import OperatorKey
    from lmaas_gateway.assembly.identity import Known
    from lmaas_gateway.assembly.pages import PageBuilder
    from lmaas_gateway.assembly.snapshot import Current
    from lmaas_gateway.assembly.surroundings import Surroundings
    from lmaas_gateway.assembly.watching import Watching
    from lmaas_gateway.records.records import Records
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.tenancy import Tenancy


class Administration:
    """Makes the admin side of each configuration.

    Args:
        settings: Those of the start.
        current: What serves.
        watching: The numbers of now, and the alerts.
        records: The last calls; None where none are kept.
        around: What changes the configuration, who knows the tenants, and whether there is a listener for it.

    Attributes:
        fleet: Starts and stops models.
        alerts: Shows and silences alerts.
    """

    def __init__(
        self,
        settings: Settings,
        current: Current,
        watching: Watching,
        records: Records | None,
        around: Surroundings,
    ) -> None:
        self._current = current
        self._live = watching.live
        self._records = records
        self._steering = around.steering
        self._port = around.admin_port
        self._deeds = Deeds(None if around.tenancy is None else around.tenancy.office())
        self.fleet = Fleet(directory=current.directory, steering=around.steering, deeds=self._deeds)
        self.alerts = Alerts(watching.desk, self._deeds)
        self._pages = self._open_pages(settings, around.tenancy) if settings.dashboard.enabled else None

    def build(self, settings: Settings, known: Known) -> AdminSide:
        """Make the admin side of a configuration; without tenants and `admin_key` it has no routes."""
        pages = None if self._pages is None else self._pages.build(settings, known)
        return AdminSide(tuple(self._routes(settings, known)), self._port, pages)

    def _open_pages(self, settings: Settings, tenancy: Tenancy | None) -> PageBuilder:
        from lmaas_gateway.assembly.pages import PageBuilder, open_sessions  # noqa: PLC0415  # see there

        return PageBuilder(
            open_sessions(settings, tenancy),
            directory=self._current.directory,
            live=self._live,
            fleet=self.fleet,
            alerts=self.alerts,
            records=self._records,
        )

    def _routes(self, settings: Settings, known: Known) -> Iterator[Route]:
        has_operator = settings.admin_key is not None
        if known.services is None and not has_operator:
            return
        if has_operator:
            yield from self._operator_routes(settings, known.operator_key)
        if known.services is not None:
            yield from TenantRoutes(known.services, known.actors).routes()
        else:
            yield from TenantRoutes(OpenServices(Calls(self._records)), known.actors, CALLS).routes()
        yield from FleetRoutes(self.fleet, known.actors).routes()
        yield from LiveRoutes(self._live, known.actors).routes()
        yield from AlertRoutes(self.alerts, known.actors).routes()
        yield Route(openapi.ADMIN_PATH, documents.admin)

    def _operator_routes(self, settings: Settings, key: OperatorKey) -> Iterator[Route]:
        now = self._current
        if self._steering is not None:
            routes = AdminRoutes(
                key,
                settings=now.settings,
                directory=now.directory,
                steering=self._steering,
                deeds=self._deeds,
            )
            yield from routes.routes()
        yield from LogRoutes(key, settings.log_file, is_stopping=lambda: now.is_stopping).routes()
