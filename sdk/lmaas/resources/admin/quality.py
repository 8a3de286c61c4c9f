"""`client.admin.quality`: how good replies were, by model and day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from lmaas._request import Operation
from lmaas.resources._pages import as_query
from lmaas.resources.admin._noun import AsyncNoun, Noun, listing_names
from lmaas.types import AdminList, ModelQuality, QualityParams

_LIST = Operation.of("GET", "/quality", QualityParams)


class AdminQuality(Noun):
    """What was seen and said of replies."""

    def list(self, *, start: int, **params: Unpack[QualityParams]) -> AdminList[ModelQuality]:
        """Return a line for each day and model from `start`, in Unix seconds: `GET /admin/v1/quality`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._caller.call(AdminList[ModelQuality], _LIST, _since(start, params))


class AsyncAdminQuality(AsyncNoun):
    """The asynchronous twin of `AdminQuality`."""

    async def list(self, *, start: int, **params: Unpack[QualityParams]) -> AdminList[ModelQuality]:
        """Return a line for each day and model from `start`, in Unix seconds: `GET /admin/v1/quality`.

        See `AdminQuality.list`.
        """
        return await self._caller.call(AdminList[ModelQuality], _LIST, _since(start, params))


def _since(start: int, params: Mapping[str, Any]) -> dict[str, Any]:
    query = as_query(params, names=listing_names(_LIST))
    return {**query, "extra_query": {"start": start, **query["extra_query"]}}
