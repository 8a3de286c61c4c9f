"""`client.admin.limits`: how much organizations, projects, members, keys and models may use."""

from __future__ import annotations

from typing import Literal, Unpack

from lmaas._request import Operation
from lmaas.resources._pages import Listing, Page
from lmaas.resources.admin._noun import AsyncNoun, Noun, route
from lmaas.types import AdminList, AdminOptions, Deleted, LimitListParams, LimitParams, UsageLimit

_SET = Operation.of("PUT", "/limits", LimitParams)
_LIST = Operation.of("GET", "/limits", LimitListParams)


class AdminLimits(Noun):
    """The limits of an organization."""

    def set(
        self,
        *,
        subject_kind: Literal["organization", "project", "key", "member", "model"],
        metric: Literal["requests", "tokens", "calls_in_flight", "tokens_in_flight", "money"],
        period: Literal["minute", "day", "month", "none"],
        amount: int,
        **params: Unpack[LimitParams],
    ) -> UsageLimit:
        """Set a limit, in place of one of the same kind: `PUT /admin/v1/limits`.

        Args:
            subject_kind: What is limited; `subject` says which one.
            metric: What is counted; money in billionths of a US dollar.
            period: In how long; "none" for what is in flight.
            amount: The most of it.
            **params: See `LimitParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._call(
            UsageLimit, _SET, params, subject_kind=subject_kind, metric=metric, period=period, amount=amount
        )

    def list(self, **params: Unpack[LimitListParams]) -> Page[UsageLimit]:
        """List limits, page by page: `GET /admin/v1/limits`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._list(AdminList[UsageLimit], _LIST, params)

    def remove(self, limit: str, **params: Unpack[AdminOptions]) -> Deleted:
        """Lift a limit: `DELETE /admin/v1/limits/{limit}`.

        Raises:
            NotFoundError: the organization has no such limit.
            APIError: the call failed otherwise.
        """
        return self._call(Deleted, Operation.of("DELETE", route("limits", limit), AdminOptions), params)


class AsyncAdminLimits(AsyncNoun):
    """The asynchronous twin of `AdminLimits`."""

    async def set(
        self,
        *,
        subject_kind: Literal["organization", "project", "key", "member", "model"],
        metric: Literal["requests", "tokens", "calls_in_flight", "tokens_in_flight", "money"],
        period: Literal["minute", "day", "month", "none"],
        amount: int,
        **params: Unpack[LimitParams],
    ) -> UsageLimit:
        """Set a limit, in place of one of the same kind: `PUT /admin/v1/limits`.

        See `AdminLimits.set`.
        """
        return await self._call(
            UsageLimit, _SET, params, subject_kind=subject_kind, metric=metric, period=period, amount=amount
        )

    def list(self, **params: Unpack[LimitListParams]) -> Listing[UsageLimit]:
        """List limits, page by page: `GET /admin/v1/limits`.

        `await` gives the first page, `async for` all items. See `AdminLimits.list`.
        """
        return self._listing(AdminList[UsageLimit], _LIST, params)

    async def remove(self, limit: str, **params: Unpack[AdminOptions]) -> Deleted:
        """Lift a limit: `DELETE /admin/v1/limits/{limit}`.

        See `AdminLimits.remove`.
        """
        return await self._call(Deleted, Operation.of("DELETE", route("limits", limit), AdminOptions), params)
