"""`client.admin.logs`: the log lines of the gateway, for operators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Unpack

from lmaas import errors
from lmaas._failures import Exchange, event_error
from lmaas._options import Timeout
from lmaas._request import Operation
from lmaas._streaming import AsyncStream, Stream
from lmaas.resources._pages import as_query
from lmaas.resources.admin._noun import AsyncNoun, Noun, listing_names
from lmaas.sse import SSEParser, StreamTooLargeError
from lmaas.types import LogLines, LogParams

_LIST = Operation.of("GET", "/logs", LogParams)
# Nothing may happen for hours.
_FOR_EVER = Timeout(total=None, inter_token=None)


class LineReader:
    """Reads lines as they come; there is always one more. See `lmaas._streaming.Reader`.

    Args:
        reply: The head of the reply, for what errors tell.
    """

    is_done = False
    partial_text = ""

    def __init__(self, reply: Exchange) -> None:
        self._reply = reply
        self._parser = SSEParser()
        self.events = 0

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Yield the lines that `chunk` completes.

        Raises:
            APIError: an event is none.
        """
        try:
            for event in self._parser.feed(chunk):
                self.events += 1
                line = _line(event.data)
                if event.event == "error" or line is None:
                    raise event_error(self._reply, event.data) or self._broken("An event is no log line")
                yield line
        except StreamTooLargeError as exc:
            raise self._broken(str(exc)) from exc

    def finish(self) -> None:
        """Take note of the end of the bytes, which comes when the gateway goes.

        Raises:
            StreamError: always.
        """
        raise self._broken("The gateway ended the stream of log lines")

    def _broken(self, text: str) -> errors.StreamError:
        return errors.StreamError(text, request_id=self._reply.headers.get("x-request-id"))


class AdminLogs(Noun):
    """The log file of a gateway that has one (`log_file.path`)."""

    def list(self, **params: Unpack[LogParams]) -> LogLines:
        """Return the last lines that are wanted, the oldest first: `GET /admin/v1/logs`.

        Raises:
            NotFoundError: the gateway has no log file.
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._caller.call(LogLines, _LIST, as_query(params, names=listing_names(_LIST)))

    def follow(self, **params: Unpack[LogParams]) -> Stream[dict[str, Any]]:
        """Return the last lines, and then those that come until you close it: `GET /admin/v1/logs`.

        Raises:
            NotFoundError: the gateway has no log file.
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        query = as_query({"timeout": _FOR_EVER, **params}, names=listing_names(_LIST))
        return self._caller.stream(LineReader, _LIST, query)


class AsyncAdminLogs(AsyncNoun):
    """The asynchronous twin of `AdminLogs`."""

    async def list(self, **params: Unpack[LogParams]) -> LogLines:
        """Return the last lines that are wanted, the oldest first: `GET /admin/v1/logs`.

        See `AdminLogs.list`.
        """
        return await self._caller.call(LogLines, _LIST, as_query(params, names=listing_names(_LIST)))

    async def follow(self, **params: Unpack[LogParams]) -> AsyncStream[dict[str, Any]]:
        """Return the last lines, and then those that come until you close it: `GET /admin/v1/logs`.

        See `AdminLogs.follow`.
        """
        query = as_query({"timeout": _FOR_EVER, **params}, names=listing_names(_LIST))
        return await self._caller.stream(LineReader, _LIST, query)


def _line(data: str) -> dict[str, Any] | None:
    try:
        line = json.loads(data)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
