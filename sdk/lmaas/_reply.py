"""Replies, and the seam that they come through: what the SDK knows of a network, whichever it is.

Status and headers are in when a reply is made; its body is read by whoever holds it, who also closes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from lmaas import errors
from lmaas._request import Request
from lmaas._timer import Timer

MAX_ERROR_BYTES: Final = 1 << 16
"""How much of an error's body is read."""


class Transport(Protocol):
    """The seam: one method. What wraps a transport is a transport."""

    def send(self, request: Request) -> Reply:
        """Send a call and return its reply, status and headers in, the body still to come.

        Raises:
            APIStatusError: the status is not 2xx.
            APIConnectionError: there was no reply; APITimeoutError when a deadline was why.
        """
        ...


class AsyncTransport(Protocol):
    """The asynchronous twin of `Transport`."""

    async def send(self, request: Request) -> AsyncReply:
        """Send a call; see `Transport.send`."""
        ...


class ReplyHead:
    """What is known of a reply before its body.

    Attributes:
        status_code: The HTTP status.
        headers: Header values by name; case does not matter.
        label: The call in words that may be shown.
        secret: The key of the call, which may not.
        timer: The deadlines of the call.
        tries: How many times the call was sent for this reply.
        failure: Why the body broke off, once it has.
    """

    def __init__(self, request: Request, status_code: int, headers: Mapping[str, str]) -> None:
        self.timer: Timer = request.timer
        self.secret = request.secret
        self.label = request.label
        self.status_code = status_code
        self.headers = headers
        self.tries = 1
        self.failure: errors.APIError | None = None
        self._when_closed: list[Callable[[], object]] = []

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300

    @property
    def request_id(self) -> str | None:
        """The server's name for the call."""
        return self.headers.get("x-request-id")

    def when_closed(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when the reply is closed: whole, broken off or given up."""
        self._when_closed.append(callback)

    def _check_time(self) -> None:
        # Bytes that are there already need no wait that could time out: a flood of comments would never end.
        if self.timer.is_over():
            raise self.timer.error()

    def _tell_closed(self) -> None:
        callbacks, self._when_closed = self._when_closed, []
        for callback in callbacks:
            callback()


class Reply(ReplyHead, ABC):
    """A reply whose body has not been read. Whoever holds it closes it."""

    has_timed_reads: bool = True
    """Whether a read ends when the timer does, however the timer is moved before it."""

    @abstractmethod
    def _receive(self) -> bytes | None:
        """Return the next bytes of the body, None at its end, in time."""

    @abstractmethod
    def _release(self) -> None:
        """Give the connection back, or close it when the body has not been read to its end."""

    def next_chunk(self) -> bytes | None:
        """Return the next bytes of the body, None at its end.

        Raises:
            APIConnectionError: the body broke off; APITimeoutError when a deadline was why.
        """
        try:
            self._check_time()
            return self._receive()
        except errors.APIError as error:
            self.failure = error
            raise

    def read(self, max_bytes: int | None = None) -> bytes:
        """Return the rest of the body, or a little over `max_bytes` of it, and close."""
        try:
            parts: list[bytes] = []
            size = 0
            while (chunk := self.next_chunk()) is not None:
                parts.append(chunk)
                size += len(chunk)
                if max_bytes is not None and size > max_bytes:
                    break
            return b"".join(parts)
        finally:
            self.close()

    def read_error(self) -> bytes:
        """Return the beginning of the body of an error, b"" if it breaks off, and close."""
        with suppress(errors.APIConnectionError):  # the status tells enough
            return self.read(MAX_ERROR_BYTES)
        return b""

    def close(self) -> None:
        """Give the connection back, or close it when the body has not been read to its end."""
        try:
            self._release()
        finally:
            self._tell_closed()


class AsyncReply(ReplyHead, ABC):
    """The asynchronous twin of `Reply`."""

    has_timed_reads: Final = True

    @abstractmethod
    async def _receive(self) -> bytes | None:
        """Return the next bytes of the body, None at its end, in time."""

    @abstractmethod
    async def _release(self) -> None:
        """Give the connection back, or close it when the body has not been read to its end."""

    async def next_chunk(self) -> bytes | None:
        """Return the next bytes of the body, None at its end; see `Reply.next_chunk`."""
        try:
            self._check_time()
            return await self._receive()
        except errors.APIError as error:
            self.failure = error
            raise

    async def read(self, max_bytes: int | None = None) -> bytes:
        """Return the rest of the body, or a little over `max_bytes` of it, and close."""
        try:
            parts: list[bytes] = []
            size = 0
            while (chunk := await self.next_chunk()) is not None:
                parts.append(chunk)
                size += len(chunk)
                if max_bytes is not None and size > max_bytes:
                    break
            return b"".join(parts)
        finally:
            await self.close()

    async def read_error(self) -> bytes:
        """Return the beginning of the body of an error; see `Reply.read_error`."""
        with suppress(errors.APIConnectionError):  # the status tells enough
            return await self.read(MAX_ERROR_BYTES)
        return b""

    async def close(self) -> None:
        """Give the connection back, or close it when the body has not been read to its end."""
        try:
            await self._release()
        finally:
            self._tell_closed()
