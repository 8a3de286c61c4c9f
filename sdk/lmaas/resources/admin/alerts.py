"""`client.admin.alerts`: what is wrong with a gateway's models, and silences."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources.admin._noun import AsyncNoun, Noun, route
from lmaas.types import AdminList, Alert, CallOptions, SilenceParams

_LIST = Operation.of("GET", "/alerts", CallOptions)


class AdminAlerts(Noun):
    """The alerts of a gateway."""

    def list(self, **params: Unpack[CallOptions]) -> AdminList[Alert]:
        """Return all alerts, first those that fire: `GET /admin/v1/alerts`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._call(AdminList[Alert], _LIST, params)

    def silence(self, alert: str, *, duration_s: int, **params: Unpack[SilenceParams]) -> Alert:
        """Have nobody told of an alert for so many seconds: `POST /admin/v1/alerts/{alert}/silence`.

        Raises:
            NotFoundError: there is no such alert.
            APIError: the call failed otherwise.
        """
        return self._call(Alert, _silence(alert), params, duration_s=duration_s)


class AsyncAdminAlerts(AsyncNoun):
    """The asynchronous twin of `AdminAlerts`."""

    async def list(self, **params: Unpack[CallOptions]) -> AdminList[Alert]:
        """Return all alerts, first those that fire: `GET /admin/v1/alerts`.

        See `AdminAlerts.list`.
        """
        return await self._call(AdminList[Alert], _LIST, params)

    async def silence(self, alert: str, *, duration_s: int, **params: Unpack[SilenceParams]) -> Alert:
        """Have nobody told of an alert for so many seconds: `POST /admin/v1/alerts/{alert}/silence`.

        See `AdminAlerts.silence`.
        """
        return await self._call(Alert, _silence(alert), params, duration_s=duration_s)


def _silence(alert: str) -> Operation:
    return Operation.of("POST", route("alerts", alert, "/silence"), SilenceParams)
