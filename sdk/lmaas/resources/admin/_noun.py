"""What the nouns of the admin API have in common: calls inside an organization, and listings in pages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from lmaas._request import Operation, path_segment
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.resources._pages import AsyncPage, Listing, Page, as_query
from lmaas.types import AdminList, CallOptions, ReplyModel

ModelT = TypeVar("ModelT", bound=ReplyModel)
ItemT = TypeVar("ItemT")

_PLACE = ("organization",)
CALL_OPTIONS = frozenset(CallOptions.__annotations__)


class Noun:
    """A kind of object of the admin API."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def _call(
        self, model: type[ModelT], operation: Operation, params: Mapping[str, Any], /, **body: object
    ) -> ModelT:
        return self._caller.call(model, operation, as_query(params, names=_PLACE), **body)

    def _list(
        self,
        model: type[AdminList[ItemT]],
        operation: Operation,
        params: Mapping[str, Any],
        after: str | None = None,
    ) -> Page[ItemT]:
        reply = self._caller.call(model, operation, as_query(params, after, listing_names(operation)))
        return Page(reply, partial(self._list, model, operation, params))


class AsyncNoun:
    """The asynchronous twin of `Noun`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def _call(
        self, model: type[ModelT], operation: Operation, params: Mapping[str, Any], /, **body: object
    ) -> ModelT:
        return await self._caller.call(model, operation, as_query(params, names=_PLACE), **body)

    def _listing(
        self, model: type[AdminList[ItemT]], operation: Operation, params: Mapping[str, Any]
    ) -> Listing[ItemT]:
        return Listing(partial(self._list, model, operation, params))

    async def _list(
        self,
        model: type[AdminList[ItemT]],
        operation: Operation,
        params: Mapping[str, Any],
        after: str | None = None,
    ) -> AsyncPage[ItemT]:
        reply = await self._caller.call(model, operation, as_query(params, after, listing_names(operation)))
        return AsyncPage(reply, partial(self._list, model, operation, params))


def listing_names(operation: Operation) -> frozenset[str]:
    """Name the parameters of a call without a body: all that are not options go in its query."""
    return operation.param_names - CALL_OPTIONS


def route(noun: str, item_id: str, end: str = "") -> str:
    """Return the path of one object, or of something that is done to it."""
    return f"/{noun}/{path_segment(item_id)}{end}"
