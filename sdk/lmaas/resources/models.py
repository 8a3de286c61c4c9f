"""`client.models`: what a server serves."""

from __future__ import annotations

from typing import Unpack

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


class AsyncModels:
    """The asynchronous twin of `Models`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def list(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return all models that the key may call: `GET /v1/models`.

        See `Models.list`.
        """
        return await self._caller.call(ModelList, Operation("GET", "/models"), options)

    async def retrieve(self, model: str, **options: Unpack[CallOptions]) -> Model:
        """Return one model by its name: `GET /v1/models/{model}`.

        See `Models.retrieve`.
        """
        return await self._caller.call(Model, Operation("GET", f"/models/{path_segment(model)}"), options)
