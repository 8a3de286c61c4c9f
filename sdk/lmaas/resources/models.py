"""`client.models`: what a server serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any, Unpack

from lmaas._request import Operation, path_segment
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import CallOptions, Model, ModelList


class Models:
    """The models of a server."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return all models that the key may call: `GET /v1/models`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._caller.call(ModelList, Operation("GET", "/models"), options)

    def retrieve(self, model: str, **options: Unpack[CallOptions]) -> Model:
        """Return one model by its name: `GET /v1/models/{model}`.

        Raises:
            ModelNotFoundError: the server has no such model.
            APIError: the call failed otherwise.
        """
        return self._caller.call(Model, Operation("GET", f"/models/{path_segment(model)}"), options)


class ModelListing:
    """The models of a server, not yet fetched: `await` gives the list, `async for` its models."""

    def __init__(self, caller: AsyncCaller, options: CallOptions) -> None:
        self._caller = caller
        self._options = options

    def __await__(self) -> Generator[Any, None, ModelList]:
        return self._caller.call(ModelList, Operation("GET", "/models"), self._options).__await__()

    async def __aiter__(self) -> AsyncIterator[Model]:
        for model in await self:
            yield model


class AsyncModels:
    """The asynchronous twin of `Models`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    def list(self, **options: Unpack[CallOptions]) -> ModelListing:
        """Return all models that the key may call: `GET /v1/models`.

        `await` gives the list, `async for` its models. See `Models.list`.
        """
        return ModelListing(self._caller, options)

    async def retrieve(self, model: str, **options: Unpack[CallOptions]) -> Model:
        """Return one model by its name: `GET /v1/models/{model}`.

        See `Models.retrieve`.
        """
        return await self._caller.call(Model, Operation("GET", f"/models/{path_segment(model)}"), options)
