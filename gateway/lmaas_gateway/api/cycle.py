"""One request and its response on a client's connection, with short cuts for what almost every call is.

ASGI hands a body over and takes a response piece by piece, checked piece by piece. A body that has come whole
by the time its endpoint begins, a reply that is whole when its head is written, and a
piece of a stream, need none of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Iterable


class Cycle(RequestResponseCycle):
    """uvicorn's, with the short cuts."""

    def take_body(self) -> bytes | None:
        """Give the request's body if all of it is here; None if it must be received."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        return body

    def is_free(self) -> bool:
        """Tell whether a piece of a response can be written without waiting."""
        return not (self.flow.write_paused or self.disconnected)

    def write(self, data: bytes) -> None:
        """Write a piece of a response that has begun and whose length is not known; only while it is free."""
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

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
        lines = [b"%b: %b\r\n" % header for header in self.default_headers]
        lines += [b"%b: %b\r\n" % header for header in headers]
        end = (
            b"content-length: %d\r\n\r\n"
            if self.keep_alive
            else b"content-length: %d\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(b"".join((STATUS_LINE[status], *lines, end % len(body), body)))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True
