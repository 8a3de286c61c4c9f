"""One request and its response on a client's connection, with short cuts for what almost every call is.

ASGI hands a body over and takes a response piece by piece, checked piece by piece. A body that has come whole
by the time its endpoint begins, and a reply that is whole when its head is written, need none of that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Bell:
    """An `asyncio.Event` that is made once somebody waits for it, as for few requests anybody does.

    Attributes:
        rings: Whether nobody needs to wait.
    """

    rings = False
    _event: asyncio.Event | None = None

    def set(self) -> None:
        """Let everybody go on who waits, or comes later."""
        self.rings = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        """Let whoever comes from now on wait."""
        self.rings = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> None:
        """Wait until it rings."""
        if self.rings:
            return
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()


class Cycle(RequestResponseCycle):
    """uvicorn's, with the short cuts.

    Args:
        scope: As ASGI has it.
        protocol: Of the connection.

    Attributes:
        task: Serves the request.
    """

    # What uvicorn's own `__init__` would set one by one.
    keep_alive = True
    waiting_for_100_continue = False
    access_log = False
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0
    task: asyncio.Task[None]
    message_event: Bell  # type: ignore[assignment]  # does what uvicorn asks of an event

    def __init__(self, scope: MutableMapping[str, Any], protocol: HttpToolsProtocol) -> None:
        self.scope = scope  # type: ignore[assignment]  # a scope may hold more
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.default_headers = protocol.server_state.default_headers
        self.message_event = Bell()
        self.on_response = protocol.on_response_complete
        self._tasks = protocol.tasks
        self.body = bytearray()

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Serve the request; one that `app` does not answer to its end is broken off.

        As uvicorn does, but it forgets the task itself: a callback would go through the event loop.
        """
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.logger.error("an application failed", exc_info=error)
            await self._break_off()
        else:
            if not (self.response_complete or self.disconnected):
                self.logger.error("an application did not complete its response")
                await self._break_off()
        finally:
            self.on_response = _nothing
            self._tasks.discard(self.task)

    async def _break_off(self) -> None:
        if self.response_started:
            self.transport.close()
        else:
            await self.send_500_response()

    def take_body(self) -> bytes | None:
        """Give the request's body if all of it is here; None if it must be received."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        return body

    def send_whole(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Write a whole response in one piece; tell whether that could be done without waiting.

        Args:
            status: HTTP status of a response that has a body.
            headers: Names in lower case, without any that tells how long the body is; both without line ends.
            body: All of it.
        """
        if self.flow.write_paused or self.disconnected or self.response_started:
            return False
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        lines = [*self.default_headers, *headers, (b"content-length", b"%d" % len(body))]
        if not self.keep_alive:
            lines.append((b"connection", b"close"))
        head = b"\r\n".join(map(b": ".join, lines))
        self.transport.write(b"%b%b\r\n\r\n%b" % (STATUS_LINE[status], head, body))
        if not self.message_event.rings:
            self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


def _nothing() -> None:
    """Nobody is to be told any more: what would be told holds the cycle, and so would it that."""
