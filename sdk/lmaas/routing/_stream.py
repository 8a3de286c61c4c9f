"""Streams of one of several platforms, which say where they come from and may begin anew if asked to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from lmaas._streaming import AsyncStream, ChunkReader, Reader, Stream, StreamHead
from lmaas._watch import WatchedReader
from lmaas.errors import APIError
from lmaas.routing._journey import Journey
from lmaas.routing._reply import AsyncRoutedReply, RoutedReply
from lmaas.routing._strategy import Restart, Route
from lmaas.types import ResponseEvent

T = TypeVar("T")


class RestartingReader:
    """Reads with a fresh reader after each restart.

    Args:
        make: Returns a reader of the stream's kind.
    """

    def __init__(self, make: Callable[[], Reader[T]]) -> None:
        self._make: Callable[[], Any] = make
        self._inner: Any = make()

    @property
    def is_done(self) -> bool:
        """See `Reader`."""
        return bool(self._inner.is_done)

    @property
    def events(self) -> int:
        """See `Reader`."""
        return int(self._inner.events)

    @property
    def partial_text(self) -> str:
        """See `Reader`."""
        return str(self._inner.partial_text)

    def feed(self, chunk: bytes) -> Any:
        """See `Reader`."""
        return self._inner.feed(chunk)

    def finish(self) -> None:
        """See `Reader`."""
        self._inner.finish()

    def restart(self, restart: Restart) -> Any:
        """Forget what was read, and return the item that says so."""
        kind = self._inner
        self._inner = self._make()
        told = {"lmaas_restart": asdict(restart)}
        if isinstance(kind, ChunkReader):
            return kind.model.model_validate({"id": "", "created": 0, "model": "", "choices": [], **told})
        return ResponseEvent.model_validate({"type": "lmaas.restart", **told})


def _lost(journey: Journey, error: APIError) -> APIError:
    journey.lost(error)
    error.lmaas_metadata = journey.route
    return error


def _restart_of(journey: Journey, error: APIError) -> Restart:
    return Restart(journey.route.platform or "", type(error).__name__, len(error.partial_text or ""))


class _RoutedHead(StreamHead[T]):
    """What both kinds of stream know of where they come from."""

    _routed: RoutedReply | AsyncRoutedReply
    _restarting: RestartingReader

    @property
    def lmaas_metadata(self) -> Route:
        """Why the call went where it went."""
        return self._routed.journey.route

    def _begun_anew(self, error: APIError) -> Any:
        """Return to the beginning, now that the call was sent again; give the item that says so."""
        self._timer = self._routed.timer
        self._events = 0
        self.request_id = self._routed.request_id
        if isinstance(self._reader, WatchedReader):
            self._reader.failure = None  # what was mended did not end the call
        return self._restarting.restart(_restart_of(self._routed.journey, error))


class RoutedStream(_RoutedHead[T], Stream[T]):
    """A stream of whichever platform has the call.

    Args:
        reply: The reply.
        reader: Reads it, and is watched.
        restarting: The reader below that one, which can begin anew.
        resume: Sends the call again; None if a stream that breaks is to raise.
    """

    _routed: RoutedReply

    def __init__(
        self,
        reply: RoutedReply,
        reader: Reader[T],
        restarting: RestartingReader,
        resume: Callable[[Journey, APIError], RoutedReply] | None,
    ) -> None:
        super().__init__(reply, reader)
        self._routed = reply
        self._restarting = restarting
        self._resume = resume

    def _read(self) -> Generator[T, None, None]:
        try:
            while (error := (yield from self._read_once())) is not None:
                yield self._restart(error)
        finally:
            self._reply.close()

    def _read_once(self) -> Generator[T, None, APIError | None]:
        """Read to the end, or to the error that a restart may mend."""
        try:
            while (chunk := self._reply.next_chunk()) is not None:
                yield from self._reader.feed(chunk)
                if self._reader.is_done:
                    self._drain()
                    return None
                self._restart_timer()
            self._reader.finish()
        except APIError as error:
            told = _lost(self._routed.journey, self._told(error))
            if self._resume is None or not told.is_retryable:
                raise told from error.__cause__
            return told
        return None

    def _restart(self, error: APIError) -> Any:
        assert self._resume is not None  # noqa: S101 - `_read_once` has seen to it
        with _void_text_of(error):
            resumed = self._resume(self._routed.journey, error)
        self._routed.switch(resumed)
        return self._begun_anew(error)


class AsyncRoutedStream(_RoutedHead[T], AsyncStream[T]):
    """The asynchronous twin of `RoutedStream`."""

    _routed: AsyncRoutedReply

    def __init__(
        self,
        reply: AsyncRoutedReply,
        reader: Reader[T],
        restarting: RestartingReader,
        resume: Callable[[Journey, APIError], Awaitable[AsyncRoutedReply]] | None,
    ) -> None:
        super().__init__(reply, reader)
        self._routed = reply
        self._restarting = restarting
        self._resume = resume

    async def _read(self) -> AsyncGenerator[T, None]:
        try:
            while True:
                try:
                    while (chunk := await self._reply.next_chunk()) is not None:
                        for item in self._reader.feed(chunk):
                            yield item
                        if self._reader.is_done:
                            await self._drain()
                            return
                        self._restart_timer()
                    self._reader.finish()
                    return
                except APIError as error:
                    told = _lost(self._routed.journey, self._told(error))
                    if self._resume is None or not told.is_retryable:
                        raise told from error.__cause__
                yield await self._restart(told)
        finally:
            await self._reply.close()

    async def _restart(self, error: APIError) -> Any:
        assert self._resume is not None  # noqa: S101 - `_read` has seen to it
        with _void_text_of(error):
            resumed = await self._resume(self._routed.journey, error)
        await self._routed.switch(resumed)
        return self._begun_anew(error)


@contextmanager
def _void_text_of(broken: APIError) -> Iterator[None]:
    """Say on the error that ends a stream what it had said before, whichever platform the error is of."""
    try:
        yield
    except APIError as error:
        if error.partial_text is None:
            error.partial_text = broken.partial_text
        raise
