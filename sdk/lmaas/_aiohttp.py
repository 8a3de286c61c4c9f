"""The network by aiohttp, for many asynchronous calls at once. Needs `pip install lmaas[aiohttp]`.

The same seam, timers and errors as `_transport`, at a fraction of the time a call. aiohttp is imported when
a client is made, not before.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lmaas import errors
from lmaas._aiohttp_client import DefaultAioHttpClient, import_aiohttp
from lmaas._failures import connection_broke, not_connected, not_understood, status_error
from lmaas._reply import AsyncReply
from lmaas._request import Request

if TYPE_CHECKING:
    import ssl

    import aiohttp


class AioHttpTransport:
    """Sends calls through aiohttp: a session of the user's, or one made here.

    Args:
        http_client: Where the session comes from.
        tls: Returns the certificates that https is checked with; read at the first call that needs them.
    """

    def __init__(
        self, http_client: DefaultAioHttpClient | aiohttp.ClientSession, tls: Callable[[], ssl.SSLContext]
    ) -> None:
        self._aiohttp = import_aiohttp()
        self._http_client = http_client
        self._tls = functools.cache(tls)

    def for_base_url(self, base_url: str) -> Self:  # noqa: ARG002 - the seam's
        """Return this transport, which is fit for each base URL."""
        return self

    async def send(self, request: Request) -> AsyncReply:
        """Send a call; see `Transport.send`."""
        if request.timer.is_over():
            raise request.timer.error()
        with _OurErrors(self._aiohttp, request):
            async with asyncio.timeout(request.timer.remaining_s()):
                response = await self._request(request)
        reply = AioHttpReply(self._aiohttp, request, response)
        if reply.is_success:
            return reply
        raise status_error(reply, await reply.read_error(), datetime.now(UTC))

    async def _request(self, request: Request) -> aiohttp.ClientResponse:
        client = self._http_client
        is_ours = isinstance(client, DefaultAioHttpClient)
        # A session of the user's own brings its certificates.
        tls = self._tls() if is_ours and request.url.startswith("https:") else True
        session = client.session() if isinstance(client, DefaultAioHttpClient) else client
        return await session.request(
            request.method,
            self._aiohttp.client.URL(request.url, encoded=True),
            data=request.content,
            headers=request.headers,
            allow_redirects=False,
            ssl=tls,
            timeout=self._aiohttp.ClientTimeout(total=None, sock_connect=request.timer.timeout.connect),
        )

    async def close(self) -> None:
        """Close the connections, unless the session is the user's own."""
        if isinstance(self._http_client, DefaultAioHttpClient):
            await self._http_client.close()


class AioHttpReply(AsyncReply):
    """A reply of aiohttp."""

    def __init__(self, aiohttp: Any, request: Request, response: aiohttp.ClientResponse) -> None:
        super().__init__(request, response.status, response.headers)
        self._aiohttp = aiohttp
        self._request = request
        self._response = response
        protocol = None if response.connection is None else response.connection.protocol
        self._lost = None if protocol is None else protocol.closed
        if self._lost is not None:
            self._lost.remove_done_callback(_take_exception)
            self._lost.add_done_callback(_take_exception)
            self._lost.add_done_callback(self._wake_reader)

    def _wake_reader(self, _: object) -> None:
        # After bytes that are no chunked coding, aiohttp closes the connection but leaves its reader waiting.
        body = self._response.content
        if not body.is_eof() and body.exception() is None:
            body.set_exception(self._aiohttp.ClientPayloadError("what came is not HTTP's chunked coding"))

    async def _receive(self) -> bytes | None:
        with _OurErrors(self._aiohttp, self._request, self.request_id):
            remaining_s = self.timer.remaining_s()
            if remaining_s is None:  # a timer a read costs more than the read
                return await self._response.content.readany() or None
            async with asyncio.timeout(remaining_s):
                return await self._response.content.readany() or None

    async def _release(self) -> None:
        # At the end of a body the connection has gone back already; before it, this closes it.
        self._response.close()
        if self._lost is not None:  # a connection outlives many replies
            self._lost.remove_done_callback(self._wake_reader)


def _take_exception(lost: asyncio.Future[None]) -> None:
    lost.exception()  # asyncio complains of one that nobody has looked at


class _OurErrors:
    """Turns what is raised within into our own errors. A class: it is entered at each read of a stream."""

    __slots__ = ("_aiohttp", "_request", "_request_id")

    def __init__(self, aiohttp: Any, request: Request, request_id: str | None = None) -> None:
        self._aiohttp = aiohttp
        self._request = request
        self._request_id = request_id

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        # TimeoutError is an OSError.
        if exc is None or not isinstance(exc, (self._aiohttp.ClientError, ValueError, OSError)):
            return
        _strip(self._aiohttp, exc, self._request)
        error = _our_error(self._aiohttp, exc, self._request)
        error.request_id = self._request_id
        raise error from exc


def _our_error(aiohttp: Any, exc: Exception, request: Request) -> errors.APIConnectionError:
    """Say in our words what went wrong; a plain TimeoutError is asyncio's."""
    if isinstance(exc, aiohttp.ConnectionTimeoutError) and not request.timer.is_over():
        return request.timer.error("connect")
    if isinstance(exc, TimeoutError):
        return request.timer.error()
    if isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ClientProxyConnectionError):
        return not_connected(request, exc)
    is_undecodable = isinstance(exc.__cause__, aiohttp.http_exceptions.ContentEncodingError)
    is_invalid = isinstance(exc, aiohttp.InvalidURL) or not isinstance(exc, aiohttp.ClientError | OSError)
    if is_undecodable or is_invalid:
        return not_understood(request, exc)
    if isinstance(exc, aiohttp.ClientResponseError):
        return connection_broke(request, ValueError(" ".join(exc.message.split())))
    return connection_broke(request, exc)


def _strip(aiohttp: Any, exc: Exception, request: Request) -> None:
    """Take out of `exc`, which is kept as a cause and may be logged, the headers and the query."""
    if isinstance(exc, aiohttp.ClientResponseError):
        url = aiohttp.client.URL(request.url.partition("?")[0], encoded=True)
        exc.request_info = aiohttp.RequestInfo(url, request.method, {}, url)
        exc.args = (exc.request_info, ())
