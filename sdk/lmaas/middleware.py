"""Functions of your own around calls: to add a header, to measure, to log, to answer from a cache.

A middleware takes a request and the rest of the way, and returns a reply:

    def with_tenant(request: Request, call_next: Next) -> Reply:
        return call_next(request.with_header("x-tenant", "blue"))

    client = LMaaS(middleware=[with_tenant])

`middleware=` goes around each call, retries included; `attempt_middleware=` around each single try of it.
The first of a list is the outermost. Replies come with status and headers, their body still to be read:
`reply.when_closed(...)` tells of its end. Errors are raised through, as `lmaas.errors` has them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from lmaas._reply import AsyncReply, AsyncTransport, Reply, Transport
from lmaas._request import Request

__all__ = ["AsyncMiddleware", "AsyncNext", "AsyncReply", "Middleware", "Next", "Reply", "Request"]

Next: TypeAlias = Callable[[Request], Reply]
"""The rest of the way: sends a request and returns its reply."""

AsyncNext: TypeAlias = Callable[[Request], Awaitable[AsyncReply]]
"""The asynchronous twin of `Next`."""


class Middleware(Protocol):
    """What `LMaaS(middleware=[...])` takes."""

    def __call__(self, request: Request, call_next: Next, /) -> Reply:
        """Return the reply to `request`, as a rule that of `call_next`."""
        ...


class AsyncMiddleware(Protocol):
    """What `AsyncLMaaS(middleware=[...])` takes."""

    def __call__(self, request: Request, call_next: AsyncNext, /) -> Awaitable[AsyncReply]:
        """Return the reply to `request`, as a rule that of `call_next`."""
        ...


class MiddlewareTransport:
    """Sends calls through middleware, the first one outermost, and then another transport."""

    def __init__(self, transport: Transport, middleware: Sequence[Middleware]) -> None:
        send: Next = transport.send
        for around in reversed(middleware):
            send = _around(around, send)
        self._send = send

    def send(self, request: Request) -> Reply:
        """Send a call; see `Transport.send`."""
        return self._send(request)


class AsyncMiddlewareTransport:
    """The asynchronous twin of `MiddlewareTransport`."""

    def __init__(self, transport: AsyncTransport, middleware: Sequence[AsyncMiddleware]) -> None:
        send: AsyncNext = transport.send
        for around in reversed(middleware):
            send = _async_around(around, send)
        self._send = send

    async def send(self, request: Request) -> AsyncReply:
        """Send a call; see `Transport.send`."""
        return await self._send(request)


def _around(middleware: Middleware, call_next: Next) -> Next:
    return lambda request: middleware(request, call_next)


def _async_around(middleware: AsyncMiddleware, call_next: AsyncNext) -> AsyncNext:
    return lambda request: middleware(request, call_next)
