"""A reply of one of several platforms, whose beginning has been read: what fails before that fails over.

A reply that is no stream has been read to its end, a stream to its first event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmaas._failures import event_error
from lmaas._reply import AsyncReply, Reply
from lmaas._request import Request
from lmaas.errors import StreamTruncatedError
from lmaas.sse import EVENT_STREAM, ServerSentEvent, SSEParser

if TYPE_CHECKING:
    from lmaas._reply import AsyncTransport, Transport
    from lmaas.routing._journey import Journey


class RoutedReply(Reply):
    """The reply of whichever platform has the call.

    Attributes:
        journey: How the call came there; set by who sent it.
    """

    journey: Journey

    def __init__(self, request: Request, inner: Reply, begun: list[bytes | None]) -> None:
        super().__init__(request, inner.status_code, inner.headers)
        self.has_timed_reads = inner.has_timed_reads
        self._take(inner, begun)

    def _take(self, inner: Reply, begun: list[bytes | None]) -> None:
        self.timer = inner.timer
        self._inner = inner
        self._begun = deque(begun)

    def switch(self, other: RoutedReply) -> None:
        """Go on with the reply of another platform."""
        self._inner.close()
        self.failure = None
        self.tries, self.headers = other.tries, other.headers
        self._take(other._inner, list(other._begun))

    def _receive(self) -> bytes | None:
        return self._begun.popleft() if self._begun else self._inner.next_chunk()

    def _release(self) -> None:
        self._inner.close()


class AsyncRoutedReply(AsyncReply):
    """The asynchronous twin of `RoutedReply`."""

    journey: Journey

    def __init__(self, request: Request, inner: AsyncReply, begun: list[bytes | None]) -> None:
        super().__init__(request, inner.status_code, inner.headers)
        self._take(inner, begun)

    def _take(self, inner: AsyncReply, begun: list[bytes | None]) -> None:
        self.timer = inner.timer
        self._inner = inner
        self._begun = deque(begun)

    async def switch(self, other: AsyncRoutedReply) -> None:
        """Go on with the reply of another platform."""
        await self._inner.close()
        self.failure = None
        self.tries, self.headers = other.tries, other.headers
        self._take(other._inner, list(other._begun))

    async def _receive(self) -> bytes | None:
        return self._begun.popleft() if self._begun else await self._inner.next_chunk()

    async def _release(self) -> None:
        await self._inner.close()


class BeginningTransport:
    """Sends a try through another transport, and reads the beginning of its reply.

    It stands below the circuit and the hedging, which so learn what came of the whole try.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, request: Request) -> RoutedReply:
        """Send a call; see `Transport.send`.

        Raises:
            APIError: it broke off, or the first event of a stream is an error, or no event came.
        """
        reply = self._transport.send(request)
        if not _is_stream(request, reply):
            # None says that there is no more to read.
            return RoutedReply(request, reply, [reply.read(), None])
        beginning = _Beginning(reply)
        try:
            while not beginning.has_event:
                beginning.take(reply.next_chunk())
        except BaseException:
            reply.close()
            raise
        return RoutedReply(request, reply, beginning.chunks)


class AsyncBeginningTransport:
    """The asynchronous twin of `BeginningTransport`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def send(self, request: Request) -> AsyncRoutedReply:
        """Send a call; see `BeginningTransport.send`."""
        reply = await self._transport.send(request)
        if not _is_stream(request, reply):
            return AsyncRoutedReply(request, reply, [await reply.read(), None])
        beginning = _Beginning(reply)
        try:
            while not beginning.has_event:
                beginning.take(await reply.next_chunk())
        except BaseException:
            await reply.close()
            raise
        return AsyncRoutedReply(request, reply, beginning.chunks)


class _Beginning:
    """The bytes of a stream up to its first event."""

    def __init__(self, reply: Reply | AsyncReply) -> None:
        self.chunks: list[bytes | None] = []
        self.has_event = False
        self._reply = reply
        self._parser = SSEParser()

    def take(self, chunk: bytes | None) -> None:
        if chunk is None:
            raise self._truncated()
        self.chunks.append(chunk)
        for event in self._events(chunk):
            self._check(event)
            self.has_event = True
            return

    def _events(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        return iter(self._parser.feed(chunk))

    def _check(self, event: ServerSentEvent) -> None:
        if event.data == "[DONE]":
            raise self._truncated()
        is_error = event.event == "error"
        if is_error or '"error"' in event.data:
            error = event_error(self._reply, event.data, is_error_event=is_error)
            if error is not None:
                raise error

    def _truncated(self) -> StreamTruncatedError:
        message = "The stream ended before its first event: there is no answer."
        return StreamTruncatedError(message, request_id=self._reply.request_id)


def _is_stream(request: Request, reply: Reply | AsyncReply) -> bool:
    is_asked_for = request.headers.get("accept") == EVENT_STREAM
    return is_asked_for and reply.headers.get("content-type", "").startswith(EVENT_STREAM)
