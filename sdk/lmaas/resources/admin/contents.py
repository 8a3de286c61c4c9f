"""`client.admin.contents`: stored prompts and answers, whose reading is audited."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._pages import Listing, Page
from lmaas.resources.admin._noun import AsyncNoun, Noun, route
from lmaas.types import AdminList, AdminOptions, ContentListParams, StoredContent

_LIST = Operation.of("GET", "/contents", ContentListParams)


class AdminContents(Noun):
    """What was asked and answered, of projects that store it."""

    def list(self, **params: Unpack[ContentListParams]) -> Page[StoredContent]:
        """List which calls have contents, without them: `GET /admin/v1/contents`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._list(AdminList[StoredContent], _LIST, params)

    def retrieve(self, content: str, **params: Unpack[AdminOptions]) -> StoredContent:
        """Return what was asked and answered in a call: `GET /admin/v1/contents/{content}`.

        Raises:
            NotFoundError: the organization has no such content.
            APIError: the call failed otherwise.
        """
        return self._call(
            StoredContent, Operation.of("GET", route("contents", content), AdminOptions), params
        )


class AsyncAdminContents(AsyncNoun):
    """The asynchronous twin of `AdminContents`."""

    def list(self, **params: Unpack[ContentListParams]) -> Listing[StoredContent]:
        """List which calls have contents, without them: `GET /admin/v1/contents`.

        `await` gives the first page, `async for` all items. See `AdminContents.list`.
        """
        return self._listing(AdminList[StoredContent], _LIST, params)

    async def retrieve(self, content: str, **params: Unpack[AdminOptions]) -> StoredContent:
        """Return what was asked and answered in a call: `GET /admin/v1/contents/{content}`.

        See `AdminContents.retrieve`.
        """
        return await self._call(
            StoredContent, Operation.of("GET", route("contents", content), AdminOptions), params
        )
