"""`client.admin.audit`: what was changed, by whom, and whether anybody touched that."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._pages import Listing, Page
from lmaas.resources.admin._noun import AsyncNoun, Noun
from lmaas.types import AdminList, AuditEntry, AuditListParams, AuditVerdict, CallOptions

_LIST = Operation.of("GET", "/audit", AuditListParams)
_VERIFY = Operation.of("GET", "/audit/verify", CallOptions)


class AdminAudit(Noun):
    """The audit trail."""

    def list(self, **params: Unpack[AuditListParams]) -> Page[AuditEntry]:
        """List entries, oldest first, page by page: `GET /admin/v1/audit`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._list(AdminList[AuditEntry], _LIST, params)

    def verify(self, **params: Unpack[CallOptions]) -> AuditVerdict:
        """Have the whole trail checked: `GET /admin/v1/audit/verify`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._call(AuditVerdict, _VERIFY, params)


class AsyncAdminAudit(AsyncNoun):
    """The asynchronous twin of `AdminAudit`."""

    def list(self, **params: Unpack[AuditListParams]) -> Listing[AuditEntry]:
        """List entries, oldest first, page by page: `GET /admin/v1/audit`.

        `await` gives the first page, `async for` all items. See `AdminAudit.list`.
        """
        return self._listing(AdminList[AuditEntry], _LIST, params)

    async def verify(self, **params: Unpack[CallOptions]) -> AuditVerdict:
        """Have the whole trail checked: `GET /admin/v1/audit/verify`.

        See `AdminAudit.verify`.
        """
        return await self._call(AuditVerdict, _VERIFY, params)
