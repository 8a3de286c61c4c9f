"""The network. The only file that names httpx: requests go in, replies or our own errors come out.

httpx bounds each single wait for the network, never a whole call. Asynchronous calls are bounded by asyncio,
synchronous ones by `_sockets`. A synchronous client of the user's own has neither: it is asked between
reads, so a deadline may be passed by as much as one read.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from lmaas import errors
from lmaas._failures import connection_broke, not_connected, not_understood, status_error
from lmaas._reply import AsyncReply, AsyncTransport, Reply, Transport
from lmaas._request import Request
from lmaas._sockets import TimedBackend

if "httpx" not in sys.modules:
    # Where rich and click are installed, httpx imports its command line too: 40 ms and 5 MiB for nothing.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # the import system's word for "not there"
    import httpx

    del sys.modules["httpx._main"]
import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = [
    "AsyncHttpClient",
    "AsyncHttpxTransport",
    "AsyncReply",
    "AsyncTransport",
    "HttpClient",
    "HttpxTransport",
    "Reply",
    "Transport",
]

HttpClient: TypeAlias = httpx.Client
"""What `LMaaS(http_client=...)` takes."""

AsyncHttpClient: TypeAlias = httpx.AsyncClient
"""What `AsyncLMaaS(http_client=...)` takes."""

# A gateway on uvicorn closes idle connections after 5 s: stop using them a little earlier.
_LIMITS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=4.0)


class HttpxReply(Reply):
    """A reply of httpx; with the `backend` of our own client its reads are timed."""

    def __init__(self, request: Request, response: httpx.Response, backend: TimedBackend | None) -> None:
        super().__init__(request, response.status_code, response.headers)
        self.has_timed_reads = backend is not None
        self._request = request
        self._response = response
        self._backend = backend
        self._chunks = response.iter_bytes()

    def _receive(self) -> bytes | None:
        if self._backend is not None:
            self._backend.begin(self.timer)
        with _our_errors(self._request, self.request_id):
            return next(self._chunks, None)

    def _release(self) -> None:
        self._response.close()


class AsyncHttpxReply(AsyncReply):
    """The asynchronous twin of `HttpxReply`."""

    def __init__(self, request: Request, response: httpx.Response) -> None:
        super().__init__(request, response.status_code, response.headers)
        self._request = request
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()

    async def _receive(self) -> bytes | None:
        with _our_errors(self._request, self.request_id):
            async with asyncio.timeout(self.timer.remaining_s()):
                return await anext(self._chunks, None)

    async def _release(self) -> None:
        await self._response.aclose()


class HttpxTransport:
    """Sends calls through an `httpx.Client`: the user's, or one made for `base_url`."""

    def __init__(self, base_url: str, http_client: httpx.Client | None = None) -> None:
        if not isinstance(http_client, httpx.Client | None):
            raise errors.ConfigurationError(_wrong_client(http_client, "httpx.Client"))
        self._client = http_client or _TimedClient(base_url)
        self._is_owner = http_client is None
        self._base_url = base_url

    def for_base_url(self, base_url: str) -> Self:
        """Return a transport fit for `base_url`: this one, unless it was made without certificates."""
        is_fit = not self._is_owner or _has_tls(base_url) <= _has_tls(self._base_url)
        return self if is_fit else type(self)(base_url)

    def send(self, request: Request) -> Reply:
        """Send a call; see `Transport.send`."""
        backend = self._client.backend if isinstance(self._client, _TimedClient) else None
        if backend is not None:
            backend.begin(request.timer)
        with _our_errors(request):
            wire = _wire_request(self._client, request, is_owner=self._is_owner, is_timed=backend is not None)
            response = self._client.send(wire, stream=True)
        reply = HttpxReply(request, response, backend)
        if reply.is_success:
            return reply
        raise status_error(reply, reply.read_error(), datetime.now(UTC))

    def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        if self._is_owner:
            self._client.close()


class AsyncHttpxTransport:
    """Sends calls through an `httpx.AsyncClient`: the user's, or one made for `base_url`."""

    def __init__(self, base_url: str, http_client: httpx.AsyncClient | None = None) -> None:
        if not isinstance(http_client, httpx.AsyncClient | None):
            raise errors.ConfigurationError(_wrong_client(http_client, "httpx.AsyncClient"))
        self._is_owner = http_client is None
        self._client = http_client or httpx.AsyncClient(verify=_ssl_context(base_url), limits=_LIMITS)
        self._base_url = base_url

    def for_base_url(self, base_url: str) -> Self:
        """Return a transport fit for `base_url`: this one, unless it was made without certificates."""
        is_fit = not self._is_owner or _has_tls(base_url) <= _has_tls(self._base_url)
        return self if is_fit else type(self)(base_url)

    async def send(self, request: Request) -> AsyncReply:
        """Send a call; see `Transport.send`."""
        with _our_errors(request):
            async with asyncio.timeout(request.timer.remaining_s()):
                wire = _wire_request(self._client, request, is_owner=self._is_owner, is_timed=True)
                response = await self._client.send(wire, stream=True)
        reply = AsyncHttpxReply(request, response)
        if reply.is_success:
            return reply
        raise status_error(reply, await reply.read_error(), datetime.now(UTC))

    async def close(self) -> None:
        """Close the connections, unless the client is the user's own."""
        if self._is_owner:
            await self._client.aclose()


class _TimedClient(httpx.Client):
    """httpx's client with its sockets under `backend`, those to proxies too."""

    def __init__(self, base_url: str) -> None:
        self.backend = TimedBackend()
        super().__init__(verify=_ssl_context(base_url), limits=_LIMITS)

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx.BaseTransport:
        return self._timed(super()._init_transport(*args, **kwargs))

    def _init_proxy_transport(self, *args: Any, **kwargs: Any) -> httpx.BaseTransport:
        return self._timed(super()._init_proxy_transport(*args, **kwargs))

    def _timed(self, transport: httpx.BaseTransport) -> httpx.BaseTransport:
        # httpcore takes a network as an argument, httpx does not pass one on. A test with a dripping
        # server fails should either of them rename these.
        transport._pool._network_backend = self.backend  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        return transport


def _waits(request: Request, *, is_timed: bool) -> dict[str, float | None]:
    """Return httpx's own timeouts for a call; `is_timed` says that reads and writes are bounded elsewhere.

    Raises:
        APITimeoutError: the call's time is over.
    """
    if request.timer.is_over():
        raise request.timer.error()
    remaining_s = request.timer.remaining_s()
    connect_s = request.timer.timeout.connect
    if connect_s is None or (remaining_s is not None and remaining_s < connect_s):
        connect_s = remaining_s
    wait_s = None if is_timed else remaining_s
    return {"connect": connect_s, "read": wait_s, "write": wait_s, "pool": remaining_s}


def _wire_request(
    client: httpx.Client | httpx.AsyncClient, request: Request, *, is_owner: bool, is_timed: bool
) -> httpx.Request:
    extensions = {"timeout": _waits(request, is_timed=is_timed)}
    # A client of the user's own adds what the user gave it; ours would add nothing, in twice the time.
    make = httpx.Request if is_owner else client.build_request
    return make(
        request.method, request.url, content=request.content, headers=request.headers, extensions=extensions
    )


@contextmanager
def _our_errors(request: Request, request_id: str | None = None) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
        if isinstance(exc, httpx.HTTPError):
            # The cause of an error is kept and may be logged: without the key, the prompt and the query.
            exc.request = httpx.Request(request.method, request.url.partition("?")[0])
        error = _our_error(exc, request)
        error.request_id = request_id
        raise error from exc


def _our_error(exc: Exception, request: Request) -> errors.APIConnectionError:
    """Say in our words what went wrong; a plain TimeoutError is asyncio's."""
    if isinstance(exc, httpx.PoolTimeout):
        return request.timer.error("pool")
    if isinstance(exc, httpx.ConnectTimeout) and not request.timer.is_over():
        return request.timer.error("connect")
    if isinstance(exc, httpx.TimeoutException | TimeoutError):
        return request.timer.error()
    if isinstance(exc, httpx.ConnectError | httpx.ProxyError):
        return not_connected(request, exc)
    if isinstance(exc, httpx.NetworkError | httpx.RemoteProtocolError):
        return connection_broke(request, exc)
    return not_understood(request, exc)


def tls_context() -> ssl.SSLContext:
    """Return the authorities that httpx trusts; SSL_CERT_FILE and SSL_CERT_DIR may name others."""
    return httpx.create_ssl_context()


def _ssl_context(base_url: str) -> ssl.SSLContext | bool:
    # Reading all certificate authorities takes 30 ms: for plain http, trust none instead.
    return True if _has_tls(base_url) else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _has_tls(base_url: str) -> bool:
    return base_url.startswith("https:")


def _wrong_client(given: object, wanted: str) -> str:
    return f"http_client is a {type(given).__module__}.{type(given).__name__}; this client takes {wanted}."
