"""uvicorn's HTTP protocol, with what it lacks.

It tells at once that a client left, writes a reply's head and body in one system call, and answers
malformed bytes with OpenAI's error object.

An endpoint finds its `ClientConnection` under `scope[CONNECTION]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lmaas_gateway.errors import BadRequestError
from lmaas_gateway.relay import error_body

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

CONNECTION = "lmaas.connection"


class ClientConnection:
    """A client's transport that can hold writes back for a moment.

    Attributes:
        watchers: Called once the connection has ended. To wait on `receive()` beside the work instead would
            cost every call a task.
    """

    __slots__ = ("_parts", "_transport", "watchers", "write")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self.watchers: set[Callable[[], object]] = set()
        # The transport's own method while nothing is held, so that streams pay nothing.
        self.write: Callable[[bytes], object] = transport.write

    def cork(self) -> None:
        """Hold writes back until `uncork`."""
        self.write = self._parts.append

    def uncork(self) -> None:
        """Write what was held back, in one piece."""
        self.write = self._transport.write
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        """Close the transport after what was written."""
        self.uncork()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GatewayProtocol(HttpToolsProtocol):
    """One client connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin a connection."""
        self._client_connection = ClientConnection(transport)
        super().connection_made(self._client_connection)  # type: ignore[arg-type]  # it has a transport's methods

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every watcher, those of pipelined requests too."""
        super().connection_lost(exc)
        for watcher in tuple(self._client_connection.watchers):
            watcher()

    def on_message_begin(self) -> None:
        """Begin a request: let its endpoint find the connection."""
        super().on_message_begin()
        self.scope[CONNECTION] = self._client_connection  # type: ignore[literal-required]  # a scope may hold more

    def on_message_complete(self) -> None:
        """End a request; go on reading, or a long body would leave the client's departure unseen."""
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP."""
        body = error_body(BadRequestError(f"{msg} The connection is closed."), None)
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()
