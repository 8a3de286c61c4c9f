"""How resources call several platforms: as they call one, and what comes back says where it is from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from lmaas._request import Operation, RequestBuilder
from lmaas._streaming import AsyncStream, Reader, Stream
from lmaas._watch import Watcher
from lmaas.resources._caller import (
    MAX_ODD_BYTES,
    AsyncCaller,
    Caller,
    is_event_stream,
    not_a_stream,
    validated,
)
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

    def call(
        self, model: type[ModelT], operation: Operation, params: Mapping[str, Any], /, **body: object
    ) -> ModelT:
        """Make a call and return its whole reply; see `Caller.call`."""
        request = self._builder.build(operation, params, body)
        with self._watcher.watch(request, {**body, **params}) as watch:
            reply = self._transport.send(watch.request)
            return _described(watch.saw(reply, validated(model, reply, reply.read())), reply)

    def stream(
        self,
        reader_for: Callable[[Reply], Reader[T]],
        operation: Operation,
        params: Mapping[str, Any],
        /,
        **body: object,
    ) -> Stream[T]:
        """Make a call whose reply is read as it comes; see `Caller.stream`."""
        request = self._builder.build(operation, params, body, is_stream=True)
        with self._watcher.watch(request, {**body, **params}, is_stream=True) as watch:
            reply = self._transport.send(watch.request)
            if not is_event_stream(reply):
                raise not_a_stream(reply, reply.read(MAX_ODD_BYTES))
            if not isinstance(reply, RoutedReply):  # a middleware's own
                return Stream(reply, watch.follow(reply, reader_for(reply)))
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

    async def call(
        self, model: type[ModelT], operation: Operation, params: Mapping[str, Any], /, **body: object
    ) -> ModelT:
        """Make a call and return its whole reply; see `Caller.call`."""
        request = self._builder.build(operation, params, body)
        with self._watcher.watch(request, {**body, **params}) as watch:
            reply = await self._transport.send(watch.request)
            return _described(watch.saw(reply, validated(model, reply, await reply.read())), reply)

    async def stream(
        self,
        reader_for: Callable[[AsyncReply], Reader[T]],
        operation: Operation,
        params: Mapping[str, Any],
        /,
        **body: object,
    ) -> AsyncStream[T]:
        """Make a call whose reply is read as it comes; see `Caller.stream`."""
        request = self._builder.build(operation, params, body, is_stream=True)
        with self._watcher.watch(request, {**body, **params}, is_stream=True) as watch:
            reply = await self._transport.send(watch.request)
            if not is_event_stream(reply):
                raise not_a_stream(reply, await reply.read(MAX_ODD_BYTES))
            if not isinstance(reply, AsyncRoutedReply):  # a middleware's own
                return AsyncStream(reply, watch.follow(reply, reader_for(reply)))
            reader = RestartingReader(lambda: reader_for(reply))
            resume = None if self._failover is None else self._failover.resume
            return AsyncRoutedStream(reply, watch.follow(reply, reader), reader, resume)


def _described(value: ModelT, reply: object) -> ModelT:
    if isinstance(reply, RoutedReply | AsyncRoutedReply):
        value.set_metadata(reply.journey.route)
    return value
