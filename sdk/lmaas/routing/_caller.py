"""How resources call several platforms: as they call one, and what comes back says where it is from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lmaas._request import RequestBuilder
from lmaas._streaming import AsyncStream, Reader, Stream
from lmaas._watch import Watch, Watcher
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.routing._failover import AsyncFailoverTransport, FailoverTransport
from lmaas.routing._reply import AsyncRoutedReply, RoutedReply
from lmaas.routing._stream import AsyncRoutedStream, RestartingReader, RoutedStream
from lmaas.types import ReplyModel

if TYPE_CHECKING:
    from lmaas._reply import AsyncReply, AsyncTransport, Reply, Transport

ModelT = TypeVar("ModelT", bound=ReplyModel)
T = TypeVar("T")


class RoutedCaller(Caller):
    """Makes the calls of a client of several platforms.

    Args:
        builder: Knows the client's options.
        transport: The way to the failover, through the client's middleware.
        watcher: Sees what comes of calls.
        failover: Sends streams again, if streams that break are to begin anew; else None.
    """

    def __init__(
        self,
        builder: RequestBuilder,
        transport: Transport,
        watcher: Watcher,
        failover: FailoverTransport | None,
    ) -> None:
        super().__init__(builder, transport, watcher)
        self._failover = failover

    def _told(self, value: ModelT, reply: Reply) -> ModelT:
        return _described(value, reply)

    def _stream(self, reply: Reply, watch: Watch, reader_for: Callable[[Reply], Reader[T]]) -> Stream[T]:
        if not isinstance(reply, RoutedReply):  # a middleware's own
            return super()._stream(reply, watch, reader_for)
        reader = RestartingReader(lambda: reader_for(reply))
        resume = None if self._failover is None else self._failover.resume
        return RoutedStream(reply, watch.follow(reply, reader), reader, resume)


class AsyncRoutedCaller(AsyncCaller):
    """The asynchronous twin of `RoutedCaller`."""

    def __init__(
        self,
        builder: RequestBuilder,
        transport: AsyncTransport,
        watcher: Watcher,
        failover: AsyncFailoverTransport | None,
    ) -> None:
        super().__init__(builder, transport, watcher)
        self._failover = failover

    def _told(self, value: ModelT, reply: AsyncReply) -> ModelT:
        return _described(value, reply)

    def _stream(
        self, reply: AsyncReply, watch: Watch, reader_for: Callable[[AsyncReply], Reader[T]]
    ) -> AsyncStream[T]:
        if not isinstance(reply, AsyncRoutedReply):  # a middleware's own
            return super()._stream(reply, watch, reader_for)
        reader = RestartingReader(lambda: reader_for(reply))
        resume = None if self._failover is None else self._failover.resume
        return AsyncRoutedStream(reply, watch.follow(reply, reader), reader, resume)


def _described(value: ModelT, reply: object) -> ModelT:
    if isinstance(reply, RoutedReply | AsyncRoutedReply):
        value.set_metadata(reply.journey.route)
    return value
