"""`client.admin`: tenants, their keys, limits and books, the audit trail, and what a gateway does now."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.resources.admin.alerts import AdminAlerts, AsyncAdminAlerts
from lmaas.resources.admin.audit import AdminAudit, AsyncAdminAudit
from lmaas.resources.admin.calls import AsyncCalls, Calls
from lmaas.resources.admin.contents import AdminContents, AsyncAdminContents
from lmaas.resources.admin.keys import AdminKeys, AsyncAdminKeys
from lmaas.resources.admin.limits import AdminLimits, AsyncAdminLimits
from lmaas.resources.admin.live import AdminLive, AsyncAdminLive
from lmaas.resources.admin.logs import AdminLogs, AsyncAdminLogs
from lmaas.resources.admin.members import AdminMembers, AsyncAdminMembers
from lmaas.resources.admin.organizations import AdminOrganizations, AsyncAdminOrganizations
from lmaas.resources.admin.projects import AdminProjects, AsyncAdminProjects
from lmaas.resources.admin.quality import AdminQuality, AsyncAdminQuality
from lmaas.resources.admin.usage import AdminUsage, AsyncAdminUsage
from lmaas.types import Actor, CallOptions

_ME = Operation.of("GET", "/me", CallOptions)


class Admin:
    """What administrators do. It calls with the client's `admin_key`, else its `api_key`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.organizations = AdminOrganizations(caller)
        self.projects = AdminProjects(caller)
        self.members = AdminMembers(caller)
        self.keys = AdminKeys(caller)
        self.limits = AdminLimits(caller)
        self.usage = AdminUsage(caller)
        self.audit = AdminAudit(caller)
        self.quality = AdminQuality(caller)
        self.contents = AdminContents(caller)
        self.calls = Calls(caller)
        self.live = AdminLive(caller)
        self.alerts = AdminAlerts(caller)
        self.logs = AdminLogs(caller)

    def me(self, **options: Unpack[CallOptions]) -> Actor:
        """Return who the key belongs to, and its role: `GET /admin/v1/me`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._caller.call(Actor, _ME, options)


class AsyncAdmin:
    """The asynchronous twin of `Admin`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller
        self.organizations = AsyncAdminOrganizations(caller)
        self.projects = AsyncAdminProjects(caller)
        self.members = AsyncAdminMembers(caller)
        self.keys = AsyncAdminKeys(caller)
        self.limits = AsyncAdminLimits(caller)
        self.usage = AsyncAdminUsage(caller)
        self.audit = AsyncAdminAudit(caller)
        self.quality = AsyncAdminQuality(caller)
        self.contents = AsyncAdminContents(caller)
        self.calls = AsyncCalls(caller)
        self.live = AsyncAdminLive(caller)
        self.alerts = AsyncAdminAlerts(caller)
        self.logs = AsyncAdminLogs(caller)

    async def me(self, **options: Unpack[CallOptions]) -> Actor:
        """Return who the key belongs to, and its role: `GET /admin/v1/me`.

        See `Admin.me`.
        """
        return await self._caller.call(Actor, _ME, options)
