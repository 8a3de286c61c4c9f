"""`client.admin.live`: what a gateway does now, once or once a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Unpack

from pydantic import ValidationError

from lmaas import errors
from lmaas._failures import Exchange, event_error, validation_error
from lmaas._request import Operation
from lmaas._streaming import AsyncStream, Stream
from lmaas.resources._pages import as_query
from lmaas.resources.admin._noun import AsyncNoun, Noun
from lmaas.sse import SSEParser, StreamTooLargeError
from lmaas.types import LiveParams, LiveView

_SHOW = Operation.of("GET", "/live", LiveParams)


class AdminLive(Noun):
    """The numbers of now, over all workers of a gateway."""

    def show(self, **params: Unpack[LiveParams]) -> LiveView:
        """Return the numbers of the last `window_s` seconds: `GET /admin/v1/live`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._caller.call(LiveView, _SHOW, _window(params))

    def watch(self, **params: Unpack[LiveParams]) -> Stream[LiveView]:
        """Return the same again and again, once a second, until it is closed or the gateway stops.

        Raises:
            APIError: the call failed before its first event.
        """
        return self._caller.stream(LiveReader, _SHOW, _window(params))


class AsyncAdminLive(AsyncNoun):
    """The asynchronous twin of `AdminLive`."""

    async def show(self, **params: Unpack[LiveParams]) -> LiveView:
        """Return the numbers of the last `window_s` seconds: `GET /admin/v1/live`.

        See `AdminLive.show`.
        """
        return await self._caller.call(LiveView, _SHOW, _window(params))

    async def watch(self, **params: Unpack[LiveParams]) -> AsyncStream[LiveView]:
        """Return the same again and again, once a second, until it is closed or the gateway stops.

        See `AdminLive.watch`.
        """
        return await self._caller.stream(LiveReader, _SHOW, _window(params))


class LiveReader:
    """Reads the views of a stream, which is whole whenever it ends; see `lmaas._streaming.Reader`.

    Args:
        reply: The head of the reply, for what errors tell.
    """

    partial_text = ""

    def __init__(self, reply: Exchange) -> None:
        self._reply = reply
        self._parser = SSEParser()
        self.is_done = False
        self.events = 0

    def feed(self, chunk: bytes) -> Iterator[LiveView]:
        """Yield the views that `chunk` completes.

        Raises:
            APIError: an event is none.
        """
        try:
            for event in self._parser.feed(chunk):
                self.events += 1
                yield self._take(event.data)
        except StreamTooLargeError as exc:
            raise errors.StreamError(str(exc), request_id=self._reply.headers.get("x-request-id")) from exc

    def finish(self) -> None:
        """Take note of the end of the bytes."""
        self.is_done = True

    def _take(self, data: str) -> LiveView:
        try:
            return LiveView.model_validate_json(data)
        except ValidationError as exc:
            error = event_error(self._reply, data)
            raise (error or validation_error(self._reply, data.encode(), "a stream of views")) from exc


def _window(params: Mapping[str, Any]) -> dict[str, Any]:
    return as_query(params, names=("window_s",))
