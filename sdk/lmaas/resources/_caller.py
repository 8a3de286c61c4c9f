"""How a resource calls: build, send, read, check. The only place where these four meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from lmaas._failures import event_error, validation_error
from lmaas._request import Operation, RequestBuilder
from lmaas._streaming import AsyncStream, Reader, Stream
from lmaas._watch import Watch, Watcher
from lmaas.sse import EVENT_STREAM
from lmaas.types import ReplyModel

if TYPE_CHECKING:
    from lmaas._reply import AsyncReply, AsyncTransport, Reply, Transport
    from lmaas.resources._saving import Writable

ModelT = TypeVar("ModelT", bound=ReplyModel)
T = TypeVar("T")


class Caller:
    """Makes the calls of one client.

    Args:
        builder: Knows the client's options.
        transport: Sends, and tries again.
        watcher: Sees what comes of calls.
    """

    def __init__(self, builder: RequestBuilder, transport: Transport, watcher: Watcher) -> None:
        self._builder = builder
        self._transport = transport
        self._watcher = watcher

    def call(
        self, model: type[ModelT], operation: Operation, params: Mapping[str, Any], /, **body: object
    ) -> ModelT:
        """Make a call and return its whole reply as a `model`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        request = self._builder.build(operation, params, body)
        with self._watcher.watch(request, {**body, **params}) as watch:
            reply = self._transport.send(watch.request)
            return self._told(watch.saw(reply, validated(model, reply, reply.read())), reply)

    def read(self, operation: Operation, params: Mapping[str, Any], /) -> tuple[bytes, str | None]:
        """Make a call and return its body as it is, and its request id.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        with self._watcher.watch(self._builder.build(operation, params, {}), params) as watch:
            reply = self._transport.send(watch.request)
            return watch.saw(reply, reply.read()), reply.request_id

    def save(self, operation: Operation, params: Mapping[str, Any], file: Writable, /) -> str | None:
        """Make a call, write its body to `file` as it comes, and return its request id.

        Raises:
            APIError: the call failed, or the body broke off; see the tree in `lmaas.errors`.
        """
        with self._watcher.watch(self._builder.build(operation, params, {}), params) as watch:
            reply = self._transport.send(watch.request)
            try:
                while (chunk := reply.next_chunk()) is not None:
                    file.write(chunk)
            finally:
                reply.close()
            return watch.saw(reply, reply.request_id)

    def stream(
        self,
        reader_for: Callable[[Reply], Reader[T]],
        operation: Operation,
        params: Mapping[str, Any],
        /,
        **body: object,
    ) -> Stream[T]:
        """Make a call whose reply is read by `reader_for(reply)` as it comes.

        Raises:
            APIError: the call failed before its first event.
        """
        request = self._builder.build(operation, params, body, is_stream=True)
        with self._watcher.watch(request, {**body, **params}, is_stream=True) as watch:
            reply = self._transport.send(watch.request)
            if not is_event_stream(reply):
                raise not_a_stream(reply, reply.read(MAX_ODD_BYTES))
            return self._stream(reply, watch, reader_for)

    def _told(self, value: ModelT, reply: Reply) -> ModelT:
        """Return what a call hands over; a client of several platforms says where it is from."""
        del reply
        return value

    def _stream(self, reply: Reply, watch: Watch, reader_for: Callable[[Reply], Reader[T]]) -> Stream[T]:
        """Return the stream of a reply that is one."""
        return Stream(reply, watch.follow(reply, reader_for(reply)))


class AsyncCaller:
    """The asynchronous twin of `Caller`."""

    def __init__(self, builder: RequestBuilder, transport: AsyncTransport, watcher: Watcher) -> None:
        self._builder = builder
        self._transport = transport
        self._watcher = watcher

    async def call(
        self, model: type[ModelT], operation: Operation, params: Mapping[str, Any], /, **body: object
    ) -> ModelT:
        """Make a call and return its whole reply; see `Caller.call`."""
        request = self._builder.build(operation, params, body)
        with self._watcher.watch(request, {**body, **params}) as watch:
            reply = await self._transport.send(watch.request)
            return self._told(watch.saw(reply, validated(model, reply, await reply.read())), reply)

    async def read(self, operation: Operation, params: Mapping[str, Any], /) -> tuple[bytes, str | None]:
        """Make a call and return its body as it is, and its request id; see `Caller.read`."""
        with self._watcher.watch(self._builder.build(operation, params, {}), params) as watch:
            reply = await self._transport.send(watch.request)
            return watch.saw(reply, await reply.read()), reply.request_id

    async def save(self, operation: Operation, params: Mapping[str, Any], file: Writable, /) -> str | None:
        """Make a call, write its body to `file` as it comes, and return its request id; see `Caller.save`."""
        with self._watcher.watch(self._builder.build(operation, params, {}), params) as watch:
            import asyncio  # noqa: PLC0415 - not with `import lmaas`; whoever awaits has it already

            reply = await self._transport.send(watch.request)
            try:
                while (chunk := await reply.next_chunk()) is not None:
                    await asyncio.to_thread(file.write, chunk)
            finally:
                await reply.close()
            return watch.saw(reply, reply.request_id)

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
            return self._stream(reply, watch, reader_for)

    def _told(self, value: ModelT, reply: AsyncReply) -> ModelT:
        """Return what a call hands over; see `Caller`."""
        del reply
        return value

    def _stream(
        self, reply: AsyncReply, watch: Watch, reader_for: Callable[[AsyncReply], Reader[T]]
    ) -> AsyncStream[T]:
        """Return the stream of a reply that is one."""
        return AsyncStream(reply, watch.follow(reply, reader_for(reply)))


MAX_ODD_BYTES = 1 << 16
"""How much is read of a reply that ought to have been a stream."""


def validated(model: type[ModelT], reply: Reply | AsyncReply, content: bytes) -> ModelT:
    """Return the whole reply as a `model`.

    Raises:
        APIError: it is none.
    """
    try:
        value = model.model_validate_json(content)
    except ValidationError as exc:
        # Some servers send an error object with status 200.
        text = content.decode("utf-8", "replace")
        raise (event_error(reply, text) or validation_error(reply, content, f"a {model.__name__}")) from exc
    value._request_id = reply.request_id  # noqa: SLF001 - the model's own constructor takes wire fields only
    return value


def is_event_stream(reply: Reply | AsyncReply) -> bool:
    """Tell whether a reply is a stream of events, as far as it says what it is."""
    kind = reply.headers.get("content-type", "")
    return not kind or kind.partition(";")[0].strip().lower() == EVENT_STREAM


def not_a_stream(reply: Reply | AsyncReply, content: bytes) -> Exception:
    """Return the error for a reply that ought to have been a stream."""
    text = content.decode("utf-8", "replace")
    return event_error(reply, text) or validation_error(reply, content, "a stream of events")
