"""The network. The only file that names httpx: requests go in, replies or our own errors come out.

httpx bounds each single wait for the network, never a whole call. Asynchronous calls are bounded by asyncio,
synchronous ones by `_sockets`. A synchronous client of the user's own has neither: it is asked between
reads, so a deadline may be passed by as much as one read.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias
from urllib.parse import urlsplit

from lmaas import errors
from lmaas._failures import status_error
from lmaas._request import Request
from lmaas._sockets import TimedBackend
from lmaas._timer import Timer

if "httpx" not in sys.modules:
    # Where rich and click are installed, httpx imports its command line too: 40 ms and 5 MiB for nothing.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # the import system's word for "not there"
    import httpx

    del sys.modules["httpx._main"]
import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HttpClient: TypeAlias = httpx.Client
"""What `LMaaS(http_client=...)` takes."""

AsyncHttpClient: TypeAlias = httpx.AsyncClient
"""What `AsyncLMaaS(http_client=...)` takes."""

MAX_ERROR_BYTES: Final = 1 << 16
"""How much of an error's body is read."""

# A gateway on uvicorn closes idle connections after 5 s: stop using them a little earlier.
_LIMITS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=4.0)


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


class _ReplyHead:
    """What is known of a reply before its body."""

    def __init__(self, request: Request, response: httpx.Response) -> None:
        self.timer: Timer = request.timer
        self.secret = request.secret
        self.label = label_of(request)
        self.status_code = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._request = request
        self._response = response

    @property
    def request_id(self) -> str | None:
        """The server's name for the call."""
        return self.headers.get("x-request-id")

    def _check_time(self) -> None:
        # Bytes that are there already need no wait that could time out: a flood of comments would never end.
        if self.timer.is_over():
            raise self.timer.error()


class Reply(_ReplyHead):
    """A reply whose body has not been read. Whoever holds it closes it."""

    def __init__(self, request: Request, response: httpx.Response, backend: TimedBackend | None) -> None:
        super().__init__(request, response)
        self._backend = backend
        self._chunks = response.iter_bytes()

    @property
    def has_timed_reads(self) -> bool:
        """Whether a read ends when the timer does, however the timer is moved before it."""
        return self._backend is not None

    def next_chunk(self) -> bytes | None:
        """Return the next bytes of the body, None at its end.

        Raises:
            APIConnectionError: the body broke off; APITimeoutError when a deadline was why.
        """
        self._check_time()
        if self._backend is not None:
            self._backend.begin(self.timer)
        with _our_errors(self._request, self.request_id):
            return next(self._chunks, None)

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

    def close(self) -> None:
        """Give the connection back, or close it when the body has not been read to its end."""
        self._response.close()


class AsyncReply(_ReplyHead):
    """The asynchronous twin of `Reply`."""

    has_timed_reads: Final = True

    def __init__(self, request: Request, response: httpx.Response) -> None:
        super().__init__(request, response)
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()

    async def next_chunk(self) -> bytes | None:
        """Return the next bytes of the body, None at its end; see `Reply.next_chunk`."""
        self._check_time()
        with _our_errors(self._request, self.request_id):
            async with asyncio.timeout(self.timer.remaining_s()):
                return await anext(self._chunks, None)

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

    async def close(self) -> None:
        """Give the connection back, or close it when the body has not been read to its end."""
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
        reply = Reply(request, response, backend)
        if response.is_success:
            return reply
        try:
            content = reply.read(MAX_ERROR_BYTES)
        except errors.APIConnectionError:
            content = b""  # the status tells enough
        raise status_error(reply, content, datetime.now(UTC))

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
        reply = AsyncReply(request, response)
        if response.is_success:
            return reply
        try:
            content = await reply.read(MAX_ERROR_BYTES)
        except errors.APIConnectionError:
            content = b""  # the status tells enough
        raise status_error(reply, content, datetime.now(UTC))

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
        transport._pool._network_backend = self.backend  # type: ignore[attr-defined]  # noqa: SLF001
        return transport


def label_of(request: Request) -> str:
    """Name a call in words that may be shown: its method and path."""
    return f"{request.method} {urlsplit(request.url).path}"


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
        parts = urlsplit(request.url)
        message = f"No connection to {parts.scheme}://{parts.netloc}: {exc}. Is the server running there?"
        return errors.APIConnectionError(message)
    if isinstance(exc, httpx.NetworkError | httpx.RemoteProtocolError):
        message = f"The connection broke during {label_of(request)}: {str(exc) or type(exc).__name__}."
        return errors.APIConnectionError(message)
    return errors.APIConnectionError(f"{label_of(request)} failed: {exc}.", should_retry=False)


def _ssl_context(base_url: str) -> ssl.SSLContext | bool:
    # Reading all certificate authorities takes 30 ms: for plain http, trust none instead.
    return True if _has_tls(base_url) else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _has_tls(base_url: str) -> bool:
    return base_url.startswith("https:")


def _wrong_client(given: object, wanted: str) -> str:
    return f"http_client is a {type(given).__module__}.{type(given).__name__}; this client takes {wanted}."
