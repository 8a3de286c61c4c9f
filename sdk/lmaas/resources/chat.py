"""`client.chat.completions`: conversations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Unpack, overload

from lmaas._failures import Exchange
from lmaas._request import Operation
from lmaas._streaming import AsyncStream, ChunkReader, Stream
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import ChatCompletion, ChatCompletionChunk, ChatCompletionParams, ChunkChoice, MessageParam

_CREATE = Operation.post("/chat/completions", ChatCompletionParams)


class ChatCompletions:
    """Answers of chat models."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @overload
    def create(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        stream: Literal[False] | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion: ...
    @overload
    def create(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        stream: Literal[True],
        **params: Unpack[ChatCompletionParams],
    ) -> Stream[ChatCompletionChunk]: ...
    @overload
    def create(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        stream: bool | None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion | Stream[ChatCompletionChunk]: ...
    def create(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        stream: bool | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion | Stream[ChatCompletionChunk]:
        """Continue a conversation: `POST /v1/chat/completions`.

        Args:
            messages: The conversation so far; a message of an earlier reply may stand in it as it is.
            model: The name of a model that chats; `client.models.list()` tells.
            stream: Give the answer as it is made. The stream raises if the answer does not come whole.
            **params: See `ChatCompletionParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `ChatCompletionParams`.
        """
        if stream:
            return self._caller.stream(_reader, _CREATE, params, model=model, messages=messages, stream=True)
        return self._caller.call(ChatCompletion, _CREATE, params, model=model, messages=messages)


class AsyncChatCompletions:
    """The asynchronous twin of `ChatCompletions`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    @overload
    async def create(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        stream: Literal[False] | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        stream: Literal[True],
        **params: Unpack[ChatCompletionParams],
    ) -> AsyncStream[ChatCompletionChunk]: ...
    @overload
    async def create(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        stream: bool | None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]: ...
    async def create(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        stream: bool | None = None,
        **params: Unpack[ChatCompletionParams],
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]:
        """Continue a conversation: `POST /v1/chat/completions`.

        See `ChatCompletions.create`.
        """
        if stream:
            return await self._caller.stream(
                _reader, _CREATE, params, model=model, messages=messages, stream=True
            )
        return await self._caller.call(ChatCompletion, _CREATE, params, model=model, messages=messages)


class Chat:
    """What chat models do.

    Attributes:
        completions: Answers of chat models.
    """

    def __init__(self, caller: Caller) -> None:
        self.completions = ChatCompletions(caller)


class AsyncChat:
    """The asynchronous twin of `Chat`.

    Attributes:
        completions: Answers of chat models.
    """

    def __init__(self, caller: AsyncCaller) -> None:
        self.completions = AsyncChatCompletions(caller)


def _text_of(choice: ChunkChoice) -> str | None:
    return choice.delta.content


def _reader(reply: Exchange) -> ChunkReader[ChatCompletionChunk]:
    return ChunkReader(ChatCompletionChunk, _text_of, reply)
