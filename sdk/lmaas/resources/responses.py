"""`client.responses`: the newer way to call chat models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, Unpack, overload

from lmaas._request import Operation
from lmaas._streaming import AsyncStream, Stream
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.resources._response_reader import ResponseReader
from lmaas.types import Response, ResponseEvent, ResponseOutputItem, ResponseParams

ResponseInput: TypeAlias = str | Iterable[Mapping[str, Any] | ResponseOutputItem]
"""A text, or messages and what earlier responses put out."""

_CREATE = Operation.post("/responses", ResponseParams)


class Responses:
    """Responses of chat models."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @overload
    def create(
        self,
        *,
        input: ResponseInput,
        model: str,
        stream: Literal[False] | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response: ...
    @overload
    def create(
        self,
        *,
        input: ResponseInput,
        model: str,
        stream: Literal[True],
        **params: Unpack[ResponseParams],
    ) -> Stream[ResponseEvent]: ...
    @overload
    def create(
        self,
        *,
        input: ResponseInput,
        model: str,
        stream: bool | None,
        **params: Unpack[ResponseParams],
    ) -> Response | Stream[ResponseEvent]: ...
    def create(
        self,
        *,
        input: ResponseInput,  # noqa: A002 - the wire's name
        model: str,
        stream: bool | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response | Stream[ResponseEvent]:
        """Answer an input: `POST /v1/responses`.

        Args:
            input: A text, or a conversation; an output item of an earlier response may stand in it as it is.
            model: The name of a model that chats.
            stream: Give typed events as they come. The stream raises if the response does not end, or fails.
            **params: See `ResponseParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `ResponseParams`.
        """
        if stream:
            return self._caller.stream(ResponseReader, _CREATE, params, model=model, input=input, stream=True)
        return self._caller.call(Response, _CREATE, params, model=model, input=input)


class AsyncResponses:
    """The asynchronous twin of `Responses`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    @overload
    async def create(
        self,
        *,
        input: ResponseInput,
        model: str,
        stream: Literal[False] | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response: ...
    @overload
    async def create(
        self,
        *,
        input: ResponseInput,
        model: str,
        stream: Literal[True],
        **params: Unpack[ResponseParams],
    ) -> AsyncStream[ResponseEvent]: ...
    @overload
    async def create(
        self,
        *,
        input: ResponseInput,
        model: str,
        stream: bool | None,
        **params: Unpack[ResponseParams],
    ) -> Response | AsyncStream[ResponseEvent]: ...
    async def create(
        self,
        *,
        input: ResponseInput,  # noqa: A002 - the wire's name
        model: str,
        stream: bool | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response | AsyncStream[ResponseEvent]:
        """Answer an input: `POST /v1/responses`.

        See `Responses.create`.
        """
        if stream:
            return await self._caller.stream(
                ResponseReader, _CREATE, params, model=model, input=input, stream=True
            )
        return await self._caller.call(Response, _CREATE, params, model=model, input=input)
