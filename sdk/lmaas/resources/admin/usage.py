"""`client.admin.usage`: what was used, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from lmaas._request import Operation
from lmaas.resources._pages import as_query
from lmaas.resources._saving import Target, opened
from lmaas.resources.admin._noun import AsyncNoun, Noun, listing_names
from lmaas.resources.files import BinaryContent
from lmaas.types import AdminList, AdminOptions, ModelPrice, UsageExportParams, UsageParams, UsageTotal

_LIST = Operation.of("GET", "/usage", UsageParams)
_EXPORT = Operation.of("GET", "/usage/export", UsageExportParams)
_PRICES = Operation.of("GET", "/prices", AdminOptions)


class AdminUsage(Noun):
    """The books."""

    def list(self, *, start: int, **params: Unpack[UsageParams]) -> AdminList[UsageTotal]:
        """Add the books up from `start`, in Unix seconds: `GET /admin/v1/usage`.

        Grouped by project unless `group_by` says otherwise, as "model,day" does. Of more than 10,000 groups
        it is a part: `has_more`, and the next one comes `after` its `last_id`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._call(AdminList[UsageTotal], _LIST, _since(_LIST, start, params))

    def export(self, *, start: int, **params: Unpack[UsageExportParams]) -> BinaryContent:
        """Return the ledger's rows from `start` on as a file: `GET /admin/v1/usage/export`.

        They are read whole; what may be long is better written by `export_to`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        content, request_id = self._caller.read(_EXPORT, _since(_EXPORT, start, params))
        return BinaryContent(content, request_id)

    def export_to(self, file: Target, *, start: int, **params: Unpack[UsageExportParams]) -> str | None:
        """Write the ledger's rows from `start` on to a file as they come, however many there are.

        Args:
            file: A path, where the file is once it is whole; or a binary file that is open.
            start: The first moment, in Unix seconds.
            **params: See `UsageExportParams`.

        Returns:
            The request id.

        Raises:
            OSError: the file cannot be written.
            APIError: the call failed, or broke off; see the tree in `lmaas.errors`.
        """
        with opened(file) as sink:
            return self._caller.save(_EXPORT, _since(_EXPORT, start, params), sink)

    def prices(self, **params: Unpack[AdminOptions]) -> AdminList[ModelPrice]:
        """Return what models cost: `GET /admin/v1/prices`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._call(AdminList[ModelPrice], _PRICES, params)


class AsyncAdminUsage(AsyncNoun):
    """The asynchronous twin of `AdminUsage`."""

    async def list(self, *, start: int, **params: Unpack[UsageParams]) -> AdminList[UsageTotal]:
        """Add the books up from `start`, in Unix seconds: `GET /admin/v1/usage`.

        See `AdminUsage.list`.
        """
        return await self._call(AdminList[UsageTotal], _LIST, _since(_LIST, start, params))

    async def export(self, *, start: int, **params: Unpack[UsageExportParams]) -> BinaryContent:
        """Return the ledger's rows from `start` on as a file: `GET /admin/v1/usage/export`.

        See `AdminUsage.export`.
        """
        content, request_id = await self._caller.read(_EXPORT, _since(_EXPORT, start, params))
        return BinaryContent(content, request_id)

    async def export_to(self, file: Target, *, start: int, **params: Unpack[UsageExportParams]) -> str | None:
        """Write the ledger's rows from `start` on to a file as they come, however many there are.

        See `AdminUsage.export_to`.
        """
        with opened(file) as sink:
            return await self._caller.save(_EXPORT, _since(_EXPORT, start, params), sink)

    async def prices(self, **params: Unpack[AdminOptions]) -> AdminList[ModelPrice]:
        """Return what models cost: `GET /admin/v1/prices`.

        See `AdminUsage.prices`.
        """
        return await self._call(AdminList[ModelPrice], _PRICES, params)


def _since(operation: Operation, start: int, params: Mapping[str, Any]) -> dict[str, Any]:
    query = as_query(params, names=listing_names(operation))
    return {**query, "extra_query": {"start": start, **query["extra_query"]}}
