"""`client.calls`: the last calls of a gateway, and what happened to each."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._pages import Listing, Page
from lmaas.resources.admin._noun import AsyncNoun, Noun, route
from lmaas.types import AdminList, AdminOptions, CallExplanation, CallListParams, ServedCall

_LIST = Operation.of("GET", "/calls", CallListParams)


class Calls(Noun):
    """Calls that were served. What was asked and answered is not in here; see `admin.contents`."""

    def list(self, **params: Unpack[CallListParams]) -> Page[ServedCall]:
        """List the last calls, newest first, page by page: `GET /admin/v1/calls`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._list(AdminList[ServedCall], _LIST, params)

    def explain(self, request_id: str, **params: Unpack[AdminOptions]) -> CallExplanation:
        """Return what happened to a call, step by step: `GET /admin/v1/calls/{request_id}`.

        Args:
            request_id: As every reply and every error has it (`reply.request_id`).
            **params: See `AdminOptions`.

        Raises:
            NotFoundError: the gateway knows no such call, or it is not yours to see.
            APIError: the call failed otherwise.
        """
        return self._call(
            CallExplanation, Operation.of("GET", route("calls", request_id), AdminOptions), params
        )


class AsyncCalls(AsyncNoun):
    """The asynchronous twin of `Calls`."""

    def list(self, **params: Unpack[CallListParams]) -> Listing[ServedCall]:
        """List the last calls, newest first, page by page: `GET /admin/v1/calls`.

        `await` gives the first page, `async for` all items. See `Calls.list`.
        """
        return self._listing(AdminList[ServedCall], _LIST, params)

    async def explain(self, request_id: str, **params: Unpack[AdminOptions]) -> CallExplanation:
        """Return what happened to a call, step by step: `GET /admin/v1/calls/{request_id}`.

        See `Calls.explain`.
        """
        return await self._call(
            CallExplanation, Operation.of("GET", route("calls", request_id), AdminOptions), params
        )
