"""Streams that tell the truth.

An answer is whole when each of its choices has a finish reason and `[DONE]` has come. Anything else is an
error that carries what had been said. `ChunkReader` knows this without I/O; the streams feed it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

from pydantic import ValidationError

from lmaas import errors
from lmaas._failures import Exchange, event_error, validation_error
from lmaas.sse import ServerSentEvent, SSEParser, StreamTooLargeError
from lmaas.types import ChatCompletionChunk, Completion

if TYPE_CHECKING:
    from lmaas._transport import AsyncReply, Reply

DRAIN_S: Final = 0.25
"""How long the end of the body may take after `[DONE]` for the connection to be used again."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
ChunkT = TypeVar("ChunkT", bound=ChatCompletionChunk | Completion)


class Reader(Protocol[T_co]):
    """Turns the bytes of one kind of stream into its items, and knows when they are all there."""

    @property
    def is_done(self) -> bool:
        """Whether the answer is whole: nothing more is to be read."""
        ...

    @property
    def events(self) -> int:
        """How many events have come, comments not counted."""
        ...

    @property
    def partial_text(self) -> str:
        """What the first choice has said so far."""
        ...

    def feed(self, chunk: bytes) -> Iterator[T_co]:
        """Yield the items that `chunk` completes."""
        ...

    def finish(self) -> None:
        """Take note of the end of the bytes.

        Raises:
            StreamTruncatedError: the answer is not whole.
        """
        ...


class ChunkReader(Generic[ChunkT]):
    """Reads the chunks of a chat or text completion.

    Args:
        model: What a chunk is.
        text_of: Returns what a chunk's choice says.
        reply: The head of the reply, for what errors tell.
    """

    def __init__(self, model: type[ChunkT], text_of: Callable[[Any], str | None], reply: Exchange) -> None:
        self.model = model
        self._text_of = text_of
        self._reply = reply
        self._parser = SSEParser()
        self._finished: dict[int, bool] = {}
        self._text: list[str] = []
        self.is_done = False
        self.events = 0

    @property
    def partial_text(self) -> str:
        """What the first choice has said so far."""
        return "".join(self._text)

    def feed(self, chunk: bytes) -> Iterator[ChunkT]:
        """Yield the chunks of the answer that `chunk` completes; what follows `[DONE]` is nothing.

        Raises:
            APIError: an event is an error, or is no event of such a stream.
            StreamTruncatedError: `[DONE]` came before the finish reasons.
        """
        if self.is_done:
            return
        try:
            for event in self._parser.feed(chunk):
                self.events += 1
                if event.data == "[DONE]":
                    self._take_done()
                    return
                yield self._take(event)
        except StreamTooLargeError as exc:
            raise errors.StreamError(str(exc), request_id=self._request_id) from exc

    def finish(self) -> None:
        """Take note of the end of the bytes; see `Reader.finish`."""
        if not self.is_done:
            raise self._truncated("The stream ended without [DONE]")

    def _take(self, event: ServerSentEvent) -> ChunkT:
        if event.event == "error":
            raise self._error_in(event)
        try:
            chunk: ChunkT = self.model.model_validate_json(event.data)  # type: ignore[assignment]  # mypy loses the bound
        except ValidationError as exc:
            raise self._error_in(event) from exc
        if chunk.model_extra and chunk.model_extra.get("error"):
            raise self._error_in(event)
        for choice in chunk.choices:
            self._take_choice(choice)
        return chunk

    def _take_choice(self, choice: Any) -> None:
        index = choice.index
        if choice.finish_reason is not None:
            self._finished[index] = True
        elif index not in self._finished:
            self._finished[index] = False
        if index == 0 and (text := self._text_of(choice)):
            self._text.append(text)

    def _take_done(self) -> None:
        if not self._finished:
            raise self._truncated("The stream ended without a single choice")
        unfinished = [str(index) for index, is_finished in self._finished.items() if not is_finished]
        if unfinished:
            what = f"The stream ended without a finish reason for choice {', '.join(unfinished)}"
            raise self._truncated(what)
        self.is_done = True

    def _error_in(self, event: ServerSentEvent) -> errors.APIError:
        error = event_error(self._reply, event.data, is_error_event=event.event == "error")
        return error or validation_error(
            self._reply, event.data.encode(), f"a stream of {self.model.__name__}s"
        )

    def _truncated(self, what: str) -> errors.StreamTruncatedError:
        return errors.StreamTruncatedError(f"{what}: the answer is not whole.", request_id=self._request_id)

    @property
    def _request_id(self) -> str | None:
        return self._reply.headers.get("x-request-id")


class StreamHead(Generic[T]):
    """What both kinds of stream know without reading."""

    def __init__(self, reply: Reply | AsyncReply, reader: Reader[T]) -> None:
        self._reader = reader
        self._events = 0
        self._timer = reply.timer
        self.request_id = reply.request_id

    def _restart_timer(self) -> None:
        # Only an event moves the timer; a chunk of comments does not.
        if self._reader.events != self._events:
            self._events = self._reader.events
            self._timer.await_next_event()

    def _check_whole(self) -> None:
        # A loop that ends has had the whole answer, also if the stream was closed, or has failed, before it.
        if not self._reader.is_done:
            message = "The stream was closed, or has failed, before its end: there is nothing more to read."
            partial_text = self._reader.partial_text
            raise errors.StreamCancelledError(message, request_id=self.request_id, partial_text=partial_text)

    def _told(self, error: errors.APIError) -> errors.APIError:
        """Return `error` with what the stream had said, as an interruption if the connection was lost."""
        told = error
        if isinstance(error, errors.APIConnectionError) and not isinstance(error, errors.APITimeoutError):
            told = errors.StreamInterruptedError(error.message, should_retry=error.should_retry)
        told.request_id = told.request_id or self.request_id
        told.partial_text = self._reader.partial_text
        return told


class Stream(StreamHead[T]):
    """Items of a streamed answer, as they come. Iterate it once; leaving `with` closes the connection.

    The response is closed at the end, at an error and by `close`, whichever is first.

    Attributes:
        request_id: The `x-request-id` of the reply.
    """

    def __init__(self, reply: Reply, reader: Reader[T]) -> None:
        super().__init__(reply, reader)
        self._reply = reply
        self._items = self._read()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        for item in self._items:
            return item
        self._check_whole()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop: the server sees the connection close and ends the call."""
        self._items.close()
        self._reply.close()

    def _read(self) -> Generator[T, None, None]:
        try:
            while (chunk := self._reply.next_chunk()) is not None:
                yield from self._reader.feed(chunk)
                if self._reader.is_done:
                    self._drain()
                    return
                self._restart_timer()
            self._reader.finish()
        except errors.APIError as error:
            raise self._told(error) from error.__cause__
        finally:
            self._reply.close()

    def _drain(self) -> None:
        if not self._reply.has_timed_reads:
            return
        self._timer.allow_at_most(DRAIN_S)
        with suppress(errors.APIConnectionError):
            while self._reply.next_chunk() is not None:
                pass


class AsyncStream(StreamHead[T]):
    """The asynchronous twin of `Stream`."""

    def __init__(self, reply: AsyncReply, reader: Reader[T]) -> None:
        super().__init__(reply, reader)
        self._reply = reply
        self._items = self._read()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        async for item in self._items:
            return item
        self._check_whole()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop: the server sees the connection close and ends the call."""
        await self._items.aclose()
        await self._reply.close()

    async def _read(self) -> AsyncGenerator[T, None]:
        try:
            while (chunk := await self._reply.next_chunk()) is not None:
                for item in self._reader.feed(chunk):
                    yield item
                if self._reader.is_done:
                    await self._drain()
                    return
                self._restart_timer()
            self._reader.finish()
        except errors.APIError as error:
            raise self._told(error) from error.__cause__
        finally:
            await self._reply.close()

    async def _drain(self) -> None:
        self._timer.allow_at_most(DRAIN_S)
        with suppress(errors.APIConnectionError):
            while await self._reply.next_chunk() is not None:
                pass
