"""The pages for people. Imported only where there are some, with what they alone need."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from lmaas_gateway.administration.calls import Calls
from lmaas_gateway.web.sessions import HeldSessions, Sessions
from lmaas_gateway.web.web import Sources, Web

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.administration.alerts import Alerts
    from lmaas_gateway.administration.fleet import Fleet
    from lmaas_gateway.assembly.identity import Known
    from lmaas_gateway.live import Live
    from lmaas_gateway.records.records import Records
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.tenancy import Tenancy


class PageBuilder:
    """Makes the pages of each configuration; browsers stay signed in from one to the next.

    Args:
        sessions: Which browsers are.
        directory: Gives the models that are served.
        live: The numbers of now.
        fleet: Starts and stops models.
        alerts: Knows what is wrong.
        records: The last calls; None where none are kept.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        directory: Callable[[], Directory],
        live: Live,
        fleet: Fleet,
        alerts: Alerts,
        records: Records | None,
    ) -> None:
        self._sessions = sessions
        self._directory = directory
        self._live = live
        self._fleet = fleet
        self._alerts = alerts
        self._records = records

    def build(self, settings: Settings, known: Known) -> Web:
        """Make the pages of a configuration."""
        sources = Sources(
            known.authenticator,
            known.operator_key,
            known.services,
            directory=self._directory,
            live=self._live,
            fleet=self._fleet,
            calls=Calls(self._records) if known.services is None else known.services.calls,
            alerts=self._alerts,
        )
        return Web(settings, self._sessions, sources)


def open_sessions(settings: Settings, tenancy: Tenancy | None) -> Sessions:
    """Keep sessions where all processes find them; without a store, in this one."""
    if tenancy is not None:
        return tenancy.sessions()
    key = secrets.token_bytes(32)
    return Sessions(
        HeldSessions(),
        key_of=lambda _: key,
        newest=lambda: 1,
        lifetime_s=settings.dashboard.session_hours * 3600,
    )
