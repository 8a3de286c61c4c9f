"""A client's transport, as the endpoints that write to it see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from lmaas_gateway.errors import GatewayError


class Owner(Protocol):
    """What speaks HTTP on the transport."""

    def end(self) -> None:
        """Close it in a way that lets the client read what was written."""

    def close_if_unread(self) -> None:
        """Let the next reply be the last one if its request's body has not come whole."""


class ClientConnection:
    """A client's transport that can hold writes back for a moment.

    Args:
        transport: The client's own.
        owner: Closes it in a way that lets the client read what was written; none closes it at once.

    Attributes:
        watchers: Called once the connection has ended. To wait on `receive()` beside the work instead would
            cost every call a task.
        refusal: Why the request whose body is being read cannot be served any more.
        is_lost: It has ended; watchers that come now are not called.
        is_free: What is written goes out without waiting: the client is there, and reads.
    """

    __slots__ = (
        "_owner",
        "_parts",
        "_transport",
        "get_extra_info",
        "is_closing",
        "is_free",
        "is_lost",
        "pause_reading",
        "refusal",
        "resume_reading",
        "watchers",
        "write",
    )

    def __init__(self, transport: asyncio.Transport, owner: Owner | None = None) -> None:
        self._transport = transport
        self._owner = owner
        self._parts: list[bytes] = []
        self.refusal: GatewayError | None = None
        self.is_lost = False
        self.is_free = True
        self.watchers: set[Callable[[], object]] = set()
        # The transport's own method while nothing is held, so that streams pay nothing.
        self.write: Callable[[bytes], object] = transport.write
        # What uvicorn asks a transport for. A `__getattr__` would make each use of any attribute slow.
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

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
        if self._owner is None:
            self._transport.close()
        else:
            self._owner.end()

    def close_if_unread(self) -> None:
        """Let the reply that follows be the last one if its request's body has not come whole."""
        if self._owner is not None:
            self._owner.close_if_unread()
