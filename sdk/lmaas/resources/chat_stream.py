"""`client.chat.completions.stream`: an answer as typed events, put together on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from lmaas._accumulator import ChatAccumulator
from lmaas.errors import APIError
from lmaas.types.stream_event import ChatStreamEvent, ContentDeltaEvent

if TYPE_CHECKING:
    from lmaas._output import OutputType
    from lmaas._streaming import AsyncStream, Stream
    from lmaas.types import ChatCompletionChunk, ParsedChatCompletion

T = TypeVar("T")


class _SoFar(Generic[T]):
    """What both kinds of stream know without reading."""

    def __init__(self, output: OutputType[T] | None) -> None:
        self._accumulator = ChatAccumulator(output)
        self._request_id: str | None = None

    @property
    def request_id(self) -> str | None:
        """The `x-request-id` of the reply; None before the call."""
        return self._request_id

    @property
    def text(self) -> str:
        """What the first choice has said so far."""
        return self._accumulator.text

    @property
    def current_completion_snapshot(self) -> ParsedChatCompletion[T]:
        """The answer so far, in the shape of a whole one. It is made anew each time it is asked for."""
        completion = self._accumulator.snapshot()
        completion._request_id = self._request_id  # noqa: SLF001 - the model's own constructor takes wire fields only
        return completion

    def _told(self, error: APIError) -> APIError:
        error.partial_completion = self.current_completion_snapshot
        return error


class ChatCompletionStream(_SoFar[T]):
    """Events of a streamed answer, as they come. The call is made on entering `with`, or at the first event.

    Iterate it, or `text_stream`, once. Errors of a stream carry `partial_completion` beside `partial_text`.
    """

    def __init__(
        self, call: Callable[[], Stream[ChatCompletionChunk]], output: OutputType[T] | None = None
    ) -> None:
        super().__init__(output)
        self._call = call
        self._stream: Stream[ChatCompletionChunk] | None = None
        self._events = self._read()

    @property
    def text_stream(self) -> Iterator[str]:
        """The pieces of the first choice's text, as they come."""
        for event in self._events:
            if isinstance(event, ContentDeltaEvent) and event.choice_index == 0:
                yield event.delta

    def get_final_completion(self) -> ParsedChatCompletion[T]:
        """Wait for the end and return the whole answer, with usage, and parsed if a type was asked for.

        Raises:
            APIError: the stream failed.
            AnswerError: the answer is not of the type that was asked for.
        """
        return self.until_done().current_completion_snapshot

    def until_done(self) -> Self:
        """Wait for the end of the stream; raises as `get_final_completion` does."""
        for _ in self._events:
            pass
        return self

    def __iter__(self) -> Iterator[ChatStreamEvent[T]]:
        return self._events

    def __next__(self) -> ChatStreamEvent[T]:
        return next(self._events)

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop: the server sees the connection close and ends the call."""
        self._events.close()
        if self._stream is not None:
            self._stream.close()

    def _open(self) -> Stream[ChatCompletionChunk]:
        if self._stream is None:
            self._stream = self._call()
            self._request_id = self._stream.request_id
        return self._stream

    def _read(self) -> Generator[ChatStreamEvent[T], None, None]:
        with self._open() as stream:
            try:
                for chunk in stream:
                    yield from self._accumulator.add(chunk)
            except APIError as error:
                raise self._told(error) from error.__cause__


class AsyncChatCompletionStream(_SoFar[T]):
    """The asynchronous twin of `ChatCompletionStream`: `async with`, `async for`."""

    def __init__(
        self,
        call: Callable[[], Awaitable[AsyncStream[ChatCompletionChunk]]],
        output: OutputType[T] | None = None,
    ) -> None:
        super().__init__(output)
        self._call = call
        self._stream: AsyncStream[ChatCompletionChunk] | None = None
        self._events = self._read()

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The pieces of the first choice's text, as they come."""
        return self._texts()

    async def get_final_completion(self) -> ParsedChatCompletion[T]:
        """Wait for the end and return the whole answer; see `ChatCompletionStream.get_final_completion`."""
        return (await self.until_done()).current_completion_snapshot

    async def until_done(self) -> Self:
        """Wait for the end of the stream."""
        async for _ in self._events:
            pass
        return self

    def __aiter__(self) -> AsyncIterator[ChatStreamEvent[T]]:
        return self._events

    async def __anext__(self) -> ChatStreamEvent[T]:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop: the server sees the connection close and ends the call."""
        await self._events.aclose()
        if self._stream is not None:
            await self._stream.close()

    async def _open(self) -> AsyncStream[ChatCompletionChunk]:
        if self._stream is None:
            self._stream = await self._call()
            self._request_id = self._stream.request_id
        return self._stream

    async def _texts(self) -> AsyncIterator[str]:
        async for event in self._events:
            if isinstance(event, ContentDeltaEvent) and event.choice_index == 0:
                yield event.delta

    async def _read(self) -> AsyncGenerator[ChatStreamEvent[T], None]:
        async with await self._open() as stream:
            try:
                async for chunk in stream:
                    for event in self._accumulator.add(chunk):
                        yield event
            except APIError as error:
                raise self._told(error) from error.__cause__
