"""`client.chat.completions`: conversations.

What turns answers into objects, events and calls of functions is imported by the methods that need it: a
program that only calls `create` does not pay for it.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from lmaas._failures import Exchange
from lmaas._options import NOT_GIVEN, NotGiven
from lmaas._request import Operation
from lmaas._streaming import AsyncStream, ChunkReader, Stream
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionParams,
    ChatParseParams,
    ChunkChoice,
    MessageParam,
    RunToolsParams,
)

if TYPE_CHECKING:
    from lmaas._output import OutputType
    from lmaas._tools import ToolFunction, ToolResult, ToolRun
    from lmaas.resources.chat_stream import AsyncChatCompletionStream, ChatCompletionStream
    from lmaas.types import ParsedChatCompletion, ToolCall

T = TypeVar("T")

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

    @overload
    def stream(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        response_format: type[T],
        **params: Unpack[ChatParseParams],
    ) -> ChatCompletionStream[T]: ...
    @overload
    def stream(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        response_format: Mapping[str, Any] | NotGiven = NOT_GIVEN,
        **params: Unpack[ChatParseParams],
    ) -> ChatCompletionStream[None]: ...
    def stream(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        response_format: type[Any] | Mapping[str, Any] | NotGiven = NOT_GIVEN,
        **params: Unpack[ChatParseParams],
    ) -> ChatCompletionStream[Any]:
        """Continue a conversation, as typed events that are put together on the way.

        Use it with `with`: the call is made there. Usage is asked for unless `stream_options` says otherwise.

        Args:
            messages: The conversation so far.
            model: The name of a model that chats.
            response_format: A type that the answer is held to and read into, or a format of the API.
            **params: See `ChatParseParams`.

        Raises:
            APIError: the call failed before its first event.
            TypeError: a parameter is not one of `ChatParseParams`.
        """
        from lmaas.resources.chat_stream import ChatCompletionStream

        output = _output_type(response_format)
        options, body = _stream_options(params), _stream_body(output, response_format)
        _CREATE.check(options)

        def call() -> Stream[ChatCompletionChunk]:
            return self._caller.stream(_reader, _CREATE, options, model=model, messages=messages, **body)

        return ChatCompletionStream(call, output)

    def parse(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        response_format: type[T],
        max_reasks: int = 1,
        **params: Unpack[ChatParseParams],
    ) -> ParsedChatCompletion[T]:
        """Continue a conversation with an object: `POST /v1/chat/completions`, held to a JSON schema.

        The answer is `completion.choices[0].message.parsed`. The server enforces the schema,
        pydantic the rest.

        Args:
            messages: The conversation so far.
            model: The name of a model that chats.
            response_format: A pydantic model, a dataclass, a TypedDict, or what else pydantic validates.
            max_reasks: How often an answer that does not validate is asked for again, with what was wrong.
            **params: See `ChatParseParams`.

        Raises:
            OutputValidationError: no answer validated.
            RefusalError: the model refused.
            LengthFinishReasonError: the answer was cut off.
            ContentFilterFinishReasonError: the server held the answer back.
            APIError: a call failed.
        """
        from lmaas._output import Asking, OutputType
        from lmaas.types import ParsedChatCompletion

        asking = Asking(messages, OutputType(response_format), max_reasks)
        while True:
            body: dict[str, Any] = {"messages": asking.messages, "response_format": asking.response_format}
            completion = self._caller.call(ParsedChatCompletion, _CREATE, params, model=model, **body)
            if asking.is_answered_by(completion):
                return completion

    def run_tools(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        tools: Iterable[ToolFunction],
        max_rounds: int = 10,
        **params: Unpack[RunToolsParams],
    ) -> ToolRun:
        """Continue a conversation, calling functions for the model until it answers.

        The model is told of a function what its signature and Google docstring say. Arguments are validated;
        what a function raises is handed to the model as its result. Calls of one answer run in their order.
        In the asynchronous twin functions may be `async`, and the calls of one answer run side by side.

        Args:
            messages: The conversation so far.
            model: The name of a model that calls tools.
            tools: Typed functions. They may be called with anything that their types allow.
            max_rounds: How often the model may be asked; there has to be one more round than calls.
            **params: See `RunToolsParams`. `tool_choice` holds for the first round, later ones are free.

        Raises:
            ToolRoundsError: the model still called tools in the last round.
            LengthFinishReasonError: a call was cut off.
            TypeError: a function cannot be described to a model.
            APIError: a call failed.
        """
        from lmaas._tools import Toolbox, ToolLoop
        from lmaas.types import ParsedChatCompletion

        toolbox = Toolbox(tools)
        loop = ToolLoop(messages, toolbox, max_rounds, params)
        while calls := loop.take(
            self._caller.call(ParsedChatCompletion, _CREATE, loop.params, model=model, **loop.body)
        ):
            loop.answer([toolbox.call(call) for call in calls])
        return loop.finished()


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

    @overload
    def stream(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        response_format: type[T],
        **params: Unpack[ChatParseParams],
    ) -> AsyncChatCompletionStream[T]: ...
    @overload
    def stream(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        response_format: Mapping[str, Any] | NotGiven = NOT_GIVEN,
        **params: Unpack[ChatParseParams],
    ) -> AsyncChatCompletionStream[None]: ...
    def stream(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        response_format: type[Any] | Mapping[str, Any] | NotGiven = NOT_GIVEN,
        **params: Unpack[ChatParseParams],
    ) -> AsyncChatCompletionStream[Any]:
        """Continue a conversation, as typed events that are put together on the way.

        See `ChatCompletions.stream`.
        """
        from lmaas.resources.chat_stream import AsyncChatCompletionStream

        output = _output_type(response_format)
        options, body = _stream_options(params), _stream_body(output, response_format)
        _CREATE.check(options)

        def call() -> Awaitable[AsyncStream[ChatCompletionChunk]]:
            return self._caller.stream(_reader, _CREATE, options, model=model, messages=messages, **body)

        return AsyncChatCompletionStream(call, output)

    async def parse(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        response_format: type[T],
        max_reasks: int = 1,
        **params: Unpack[ChatParseParams],
    ) -> ParsedChatCompletion[T]:
        """Continue a conversation with an object: `POST /v1/chat/completions`, held to a JSON schema.

        See `ChatCompletions.parse`.
        """
        from lmaas._output import Asking, OutputType
        from lmaas.types import ParsedChatCompletion

        asking = Asking(messages, OutputType(response_format), max_reasks)
        while True:
            body: dict[str, Any] = {"messages": asking.messages, "response_format": asking.response_format}
            completion = await self._caller.call(ParsedChatCompletion, _CREATE, params, model=model, **body)
            if asking.is_answered_by(completion):
                return completion

    async def run_tools(
        self,
        *,
        messages: Iterable[MessageParam],
        model: str,
        tools: Iterable[ToolFunction],
        max_rounds: int = 10,
        **params: Unpack[RunToolsParams],
    ) -> ToolRun:
        """Continue a conversation, calling functions for the model until it answers.

        See `ChatCompletions.run_tools`.
        """
        import asyncio

        from lmaas._tools import Toolbox, ToolLoop
        from lmaas.types import ParsedChatCompletion

        toolbox = Toolbox(tools)
        loop = ToolLoop(messages, toolbox, max_rounds, params)

        async def call_all(calls: Sequence[ToolCall]) -> list[ToolResult]:
            return await asyncio.gather(*(toolbox.call_async(call, asyncio.to_thread) for call in calls))

        while calls := loop.take(
            await self._caller.call(ParsedChatCompletion, _CREATE, loop.params, model=model, **loop.body)
        ):
            loop.answer(await call_all(calls))
        return loop.finished()


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


def _output_type(response_format: type[T] | Mapping[str, Any] | NotGiven) -> OutputType[T] | None:
    if isinstance(response_format, NotGiven | Mapping):
        return None
    from lmaas._output import OutputType

    return OutputType(response_format)


def _stream_options(params: ChatParseParams) -> dict[str, Any]:
    asked = {"include_usage": True, **(params.get("stream_options") or {})}
    return {**params, "stream_options": asked}


def _stream_body(output: OutputType[Any] | None, response_format: object) -> dict[str, Any]:
    return {
        "stream": True,
        "response_format": response_format if output is None else output.response_format(),
    }


def _text_of(choice: ChunkChoice) -> str | None:
    return choice.delta.content


def _reader(reply: Exchange) -> ChunkReader[ChatCompletionChunk]:
    return ChunkReader(ChatCompletionChunk, _text_of, reply)
