"""`/admin/v1/logs`: the log file, for operators: its last lines, or those that come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from starlette.responses import StreamingResponse
from starlette.routing import Route

from lmaas_gateway.administration.operations import Operation
from lmaas_gateway.api.answering import NO_STORE, answer
from lmaas_gateway.api.reading import read_query
from lmaas_gateway.errors import NotFoundError, RateLimitError
from lmaas_gateway.logs.files import older_files
from lmaas_gateway.logs.reading import LogFilter, Tail, find_last, follow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.api.operators import OperatorKey
    from lmaas_gateway.settings import LogFileSettings

_EVENTS = "text/event-stream"
_MAX_FOLLOWERS = 16
# A comment now and then shows that nobody reads any more.
_SILENT_ROUNDS = 40
_ENCODE = msgspec.json.Encoder().encode


class LogQuery(LogFilter, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which lines are wanted, and how many of the last ones."""

    limit: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 100


class LogLines(msgspec.Struct, frozen=True):
    """The last lines that are wanted, the oldest first.

    Attributes:
        has_more: Whether older ones may be wanted too.
    """

    data: list[dict[str, Any]]
    has_more: bool
    object: Literal["list"] = "list"


LOG_OPERATIONS = (
    Operation(
        "GET",
        "/logs",
        "logs.list",
        "operator",
        LogLines,
        "Show the last lines of the log file; with `Accept: text/event-stream` also those that come.",
        LogQuery,
    ),
)


class LogRoutes:
    """The routes of the log.

    Args:
        operator_key: Knows the operator: lines are of all tenants.
        rules: Say where the file is.
        is_stopping: Tells whether the gateway stops: who follows would hold it up for as long as it may be.
    """

    def __init__(
        self, operator_key: OperatorKey, rules: LogFileSettings, *, is_stopping: Callable[[], bool]
    ) -> None:
        self._key = operator_key
        self._rules = rules
        self._is_stopping = is_stopping
        self._followers = 0

    def routes(self) -> Iterator[Route]:
        """List them for Starlette."""
        yield Route("/admin/v1/logs", self.list, methods=["GET"])

    async def list(self, request: Request) -> Response:
        """Answer with the last lines, or go on with those that come."""
        self._key.require(request)
        wanted = read_query(request, LogQuery)
        path = self._rules.path
        if path is None:
            raise NotFoundError("There is no log file: set `log_file.path`, and start the gateway again.")
        if _EVENTS in request.headers.get("accept", ""):
            if self._followers >= _MAX_FOLLOWERS:
                raise RateLimitError(f"{_MAX_FOLLOWERS} follow the log already; end one of them.")
            return StreamingResponse(self._events(path, wanted), media_type=_EVENTS, headers=NO_STORE)
        return answer(await self._last(path, wanted))

    async def _last(self, path: Path, wanted: LogQuery, end: int | None = None) -> LogLines:
        files = [path, *older_files(path, self._rules.keep)]
        found = await asyncio.to_thread(find_last, files, wanted, wanted.limit, end)
        return LogLines(found.lines, found.has_more)

    async def _events(self, path: Path, wanted: LogQuery) -> AsyncIterator[bytes]:
        self._followers += 1
        try:
            # What comes while the past is read is read afterwards.
            tail = Tail(path)
            past = await self._last(path, wanted, tail.place)
            yield b"".join(map(_event, past.data))
            silent_rounds = 0
            async for lines in follow(tail, wanted):
                silent_rounds = 0 if lines else silent_rounds + 1
                if lines:
                    yield b"".join(map(_event, lines))
                elif silent_rounds % _SILENT_ROUNDS == 0:
                    yield b": nothing new\n\n"
                if self._is_stopping():
                    break
        finally:
            self._followers -= 1


def _event(line: dict[str, Any]) -> bytes:
    return b"data: " + _ENCODE(line) + b"\n\n"
