"""`client.batches`: many calls from one file, in the wire shape of the OpenAI API."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from lmaas._request import Operation, path_segment
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.resources._pages import AsyncPage, Listing, Page, as_query
from lmaas.types import Batch, BatchList, BatchParams, CallOptions, ListParams

_CREATE = Operation.post("/batches", BatchParams)
_LIST = Operation("GET", "/batches")


class Batches:
    """Batches of calls."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self,
        *,
        endpoint: str,
        input_file_id: str,
        completion_window: str = "24h",
        **params: Unpack[BatchParams],
    ) -> Batch:
        """Make a batch of the calls in a file: `POST /v1/batches`.

        Args:
            endpoint: The route of all its calls, such as "/v1/chat/completions".
            input_file_id: A file of JSON lines, uploaded with the purpose "batch".
            completion_window: Within what time it is to be done.
            **params: See `BatchParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `BatchParams`.
        """
        required = _required(endpoint, input_file_id, completion_window)
        return self._caller.call(Batch, _CREATE, params, **required)

    def retrieve(self, batch_id: str, **options: Unpack[CallOptions]) -> Batch:
        """Return how far a batch is: `GET /v1/batches/{batch_id}`.

        Raises:
            NotFoundError: there is no such batch.
            APIError: the call failed otherwise.
        """
        return self._caller.call(Batch, _batch("GET", batch_id), options)

    def cancel(self, batch_id: str, **options: Unpack[CallOptions]) -> Batch:
        """Stop a batch: `POST /v1/batches/{batch_id}/cancel`. What is done by then stays.

        Raises:
            NotFoundError: there is no such batch.
            APIError: the call failed otherwise.
        """
        return self._caller.call(Batch, _batch("POST", batch_id, "/cancel"), options)

    def list(self, **params: Unpack[ListParams]) -> Page[Batch]:
        """List batches, page by page: `GET /v1/batches`. Iterating the first page fetches the others.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `ListParams`.
        """
        return self._page(params)

    def _page(self, params: ListParams, after: str | None = None) -> Page[Batch]:
        reply = self._caller.call(BatchList, _LIST, as_query(params, after))
        return Page(reply, partial(self._page, params))


class AsyncBatches:
    """The asynchronous twin of `Batches`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(
        self,
        *,
        endpoint: str,
        input_file_id: str,
        completion_window: str = "24h",
        **params: Unpack[BatchParams],
    ) -> Batch:
        """Make a batch of the calls in a file: `POST /v1/batches`.

        See `Batches.create`.
        """
        required = _required(endpoint, input_file_id, completion_window)
        return await self._caller.call(Batch, _CREATE, params, **required)

    async def retrieve(self, batch_id: str, **options: Unpack[CallOptions]) -> Batch:
        """Return how far a batch is: `GET /v1/batches/{batch_id}`.

        See `Batches.retrieve`.
        """
        return await self._caller.call(Batch, _batch("GET", batch_id), options)

    async def cancel(self, batch_id: str, **options: Unpack[CallOptions]) -> Batch:
        """Stop a batch: `POST /v1/batches/{batch_id}/cancel`.

        See `Batches.cancel`.
        """
        return await self._caller.call(Batch, _batch("POST", batch_id, "/cancel"), options)

    def list(self, **params: Unpack[ListParams]) -> Listing[Batch]:
        """List batches, page by page: `GET /v1/batches`.

        `await` gives the first page, `async for` the batches of all pages. See `Batches.list`.
        """
        return Listing(partial(self._page, params))

    async def _page(self, params: ListParams, after: str | None = None) -> AsyncPage[Batch]:
        reply = await self._caller.call(BatchList, _LIST, as_query(params, after))
        return AsyncPage(reply, partial(self._page, params))


def _required(endpoint: str, input_file_id: str, completion_window: str) -> dict[str, str]:
    return {
        "endpoint": endpoint,
        "input_file_id": input_file_id,
        "completion_window": completion_window,
    }


def _batch(method: str, batch_id: str, end: str = "") -> Operation:
    return Operation(method, f"/batches/{path_segment(batch_id)}{end}")
