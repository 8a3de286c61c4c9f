"""HTTP/1.1 towards one replica: a keep-alive pool of connections, one exchange on each at a time.

This is the one place where own code replaces a library, because it is what a gateway exists for: one
wake-up a call, and nothing that the job does not need (docs/decisions/0003-own-replica-client.md).
Deadlines are kept by one sweep over the connections in use instead of timers a call.
"""

from __future__ import annotations

import asyncio
import errno
import math
import socket
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, Protocol, cast
from urllib.parse import urlsplit

import httptools

from lmaas_gateway.tls.renewal import open_replica

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from lmaas_gateway.settings import ReplicaSettings, TimeoutSettings
    from lmaas_gateway.tls.renewal import RenewedContext

# Beside it uvloop reads 256 KiB at once: together what one client that does not read fills here.
_HIGH_WATER_BYTES = 64 * 1024
_LOW_WATER_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 64 * 1024
_MAX_REPLY_BYTES = 256 * 2**20
_SWEEP_INTERVAL_S = 0.25
_READ_FIRST_S = 0.01
_RESENT = b"x-lmaas-resent: true\r\n\r\n"
# A peer that is gone is noticed in 10 s: asked after 4 s of silence, then every 2 s; and what was sent to it
# must be acknowledged in 8 s. Linux knows all of these, other systems some.
_KEEP_ALIVE_OPTIONS = tuple(
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", 4),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 8000),
    )
    if hasattr(socket, name)
)
# uvicorn, which vLLM runs on, closes idle connections after 5 s: leave them a little earlier.
_KEEP_ALIVE_S = 4.0
_STALE_AFTER_S = 1.0
# It is not the replica that is ill: this machine has no file, port or buffer left, or more is asked of a unix
# socket at once than its backlog holds.
_BUSY_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.EAGAIN})


class ReplicaError(Exception):
    """A replica could not be reached, or broke off; the message is for logs, not for callers.

    Attributes:
        was_sent_before: The request had been sent already, on a kept connection that then closed.
    """

    was_sent_before = False


class ReplicaConnectError(ReplicaError):
    """No connection could be made: the request has not been sent on it."""


class ReplicaBusyError(ReplicaError):
    """Every connection that the replica may have is in use."""


class ReplicaClosedError(ReplicaError):
    """The connection ended before the reply was whole."""


class ReplicaProtocolError(ReplicaError):
    """The replica sent something that is not HTTP."""


class ReplicaDeadlineError(ReplicaError):
    """A deadline passed; `deadline` says which."""

    def __init__(self, deadline: Literal["connect", "first_byte", "idle", "total"]) -> None:
        super().__init__(f"the {deadline} deadline passed")
        self.deadline = deadline

    @property
    def is_of_call(self) -> bool:
        """Whether it was the call as a whole that had no more time: that says nothing of the replica."""
        return self.deadline == "total"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a replica listens: a unix socket path, or host and port, in clear or TLS."""

    host: str
    port: int = 0
    unix_path: str | None = None
    tls: RenewedContext | None = None

    @classmethod
    def parse(cls, settings: ReplicaSettings) -> Address:
        """Read a replica's `url`; an `https` one trusts the system's CAs or its `ca_file`.

        Raises:
            SettingsError: a file of TLS cannot be used.
        """
        if settings.url.startswith("unix:"):
            return cls("localhost", unix_path=settings.url.removeprefix("unix:"))
        parts = urlsplit(settings.url)
        tls = None if parts.scheme != "https" else open_replica(settings)
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls=tls)


class Sink(Protocol):
    """Takes a reply's bytes as they come, in the place of a task that waits for them.

    To wake a task for each token costs more than all else that is done with the token.

    Attributes:
        is_over: It wants no more.
        is_held: It can go on only after its reader has done something.
    """

    is_over: bool
    is_held: bool

    def take(self) -> bool:
        """Take what has come, or leave it; tell whether that was all that is to be done for now."""
        ...

    def pass_on(self, chunk: bytes) -> bool:
        """Take one whole chunk as it stands on the wire, or leave it; tell whether it was taken.

        Nothing that came earlier waits to be taken.
        """
        ...


class _Connection(asyncio.Protocol):
    """One socket. Parser callbacks fill it; the exchange that holds it empties it."""

    def __init__(self, client: ReplicaClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        # Body bytes that wait to be taken, and an empty piece where a chunk ends. The parser appends them
        # by itself: a function of ours would cost each more than all else.
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self.on_chunk_complete = partial(self._pieces.append, b"")
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._waiting_bytes = 0
        self._is_between_chunks = False
        self._error: ReplicaError | None = None
        self._seen_bytes = 0
        self._body_ends_at_eof = False
        self._keep_alive = True
        self.received_bytes = 0
        self.is_open = False
        self.is_reading_paused = False
        self.is_head_complete = False
        self.is_complete = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.deadline_s = 0.0
        self.total_deadline_s = 0.0
        self._since_s = 0.0

    # What the exchange asks for.

    def begin(self, request: tuple[bytes, bytes], deadline_s: float) -> None:
        """Send a request; the reply's state starts empty."""
        timeouts = self._client.timeouts
        now = self._since_s = self._loop.time()
        self.deadline_s = now + timeouts.first_byte_s
        total_deadline_s = now + timeouts.total_s
        self.total_deadline_s = total_deadline_s if total_deadline_s < deadline_s else deadline_s
        self._pieces.clear()
        self.received_bytes = self._seen_bytes = self._waiting_bytes = 0
        self.is_head_complete = self.is_complete = self._is_between_chunks = False
        self.headers = {}
        head, body = request
        if len(body) < 65536:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def news(self, sink: Sink | None = None) -> asyncio.Future[None]:
        """Give a future that is done when more has come, or the connection has ended.

        Args:
            sink: Asked first when more has come; the future is done if it cannot do with it.

        Raises:
            ReplicaError: what went wrong; there is no more to wait for.
        """
        if self._error is not None:
            raise self._error
        self._sink = sink
        self._waiter = self._loop.create_future()
        return self._waiter

    def take(self) -> bytes:
        """Hand over the body bytes that have come so far, maybe none."""
        pieces = self._pieces
        if not pieces:
            return b""
        data = b"".join(pieces)
        pieces.clear()
        self._waiting_bytes = 0
        if self.is_reading_paused:
            self.is_reading_paused = False
            if self.is_open:
                # The replica was made to wait: that was no idleness of its own.
                self.deadline_s = self._loop.time() + self._client.timeouts.idle_s
                self._transport.resume_reading()
        return data

    @property
    def has_body(self) -> bool:
        """Whether body bytes wait to be taken."""
        return any(self._pieces)

    @property
    def has_data(self) -> bool:
        """Whether any byte of the reply has come."""
        return self.received_bytes > 0

    def rest(self) -> None:
        """Take note that its exchange is over."""
        self._since_s = self._loop.time()

    def lasting_s(self) -> float:
        """Tell for how many seconds it has been at rest, or at its exchange."""
        return self._loop.time() - self._since_s

    def is_reusable(self) -> bool:
        """Whether another request may follow on this connection."""
        return (
            self.is_complete
            and self._keep_alive
            and self.is_open
            and not self.is_reading_paused
            and not self._transport.is_closing()
        )

    def note_progress(self, now_s: float) -> None:
        """Give the replica new time if anything has come since the last look."""
        if self.received_bytes != self._seen_bytes:
            self._seen_bytes = self.received_bytes
            self.deadline_s = now_s + self._client.timeouts.idle_s

    def fail(self, error: ReplicaError) -> None:
        """End the exchange with `error`, and the connection with it."""
        if self._error is None and not self.is_complete:
            self._error = error
        self._wake()
        self._transport.abort()

    def abort(self) -> None:
        """Drop the connection at once, so that the replica sees its client gone."""
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._error is not None or self.is_complete:
            pass
        elif self._body_ends_at_eof and self.is_head_complete and exc is None:
            self.is_complete = True
        else:
            self._error = ReplicaClosedError("the replica closed the connection before its reply was whole")
        self._client.forget(self)
        self._wake()

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        sink = self._sink
        if self._is_between_chunks and sink is not None and _is_chunk(data) and sink.pass_on(data):
            return
        self._waiting_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fail(ReplicaProtocolError(f"not an HTTP reply: {type(error).__name__}"))
            return
        if not self.is_head_complete and self.received_bytes > _MAX_HEAD_BYTES:
            self.fail(ReplicaProtocolError("the reply's head is too long"))
            return
        pieces = self._pieces
        if self._waiting_bytes > _HIGH_WATER_BYTES and pieces and not self.is_reading_paused:
            self.is_reading_paused = True
            self._transport.pause_reading()
        # Bytes after a chunk are the beginning of the next one's size: they do not end like this.
        self._is_between_chunks = bool(pieces) and not pieces[-1] and data.endswith(b"\n\r\n")
        if sink is None or self.is_complete or not sink.take():
            self._wake()

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self.is_complete:
            # Nothing was asked, so it would be taken for the next call's reply.
            message = "a second reply to one request"
            raise ValueError(message)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers = {}
            return
        self.is_head_complete = True
        self._keep_alive = self._parser.should_keep_alive()
        self._body_ends_at_eof = (
            b"content-length" not in self.headers and b"transfer-encoding" not in self.headers
        )

    def on_message_complete(self) -> None:
        if self.is_head_complete:
            self.is_complete = True

    def _wake(self) -> None:
        # What comes before the task goes on is the task's, or it would overtake what the task takes.
        self._sink = None
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Exchange:
    """One request and its reply. Whoever holds it must `close` it, always; closing never waits.

    Attributes:
        status: HTTP status of the reply.
        headers: Header names in lower case.
    """

    __slots__ = ("_client", "_connection", "headers", "status")

    def __init__(self, client: ReplicaClient, connection: _Connection) -> None:
        self._client = client
        self._connection: _Connection | None = connection
        self.status = connection.status
        self.headers: Mapping[bytes, bytes] = connection.headers

    @property
    def is_drained(self) -> bool:
        """Whether the whole reply has come and been read."""
        connection = self._connection
        return connection is None or (connection.is_complete and not connection.has_body)

    @property
    def is_whole(self) -> bool:
        """Whether the whole reply has come, read or not."""
        connection = self._connection
        return connection is None or connection.is_complete

    def take(self) -> bytes:
        """Give the body bytes that have come and not been read, maybe none, without waiting."""
        return b"" if self._connection is None else self._connection.take()

    async def read(self, sink: Sink | None = None) -> bytes:
        """Give the next body bytes, as many as have come; none at the end of the reply.

        Args:
            sink: Takes them in the reader's place, as long as it can; none are given when it is over.

        Raises:
            ReplicaError: the reply broke off or a deadline passed.
        """
        connection = self._connection
        if connection is None:
            return b""
        data = connection.take()
        while not data and not connection.is_complete and not (sink and (sink.is_over or sink.is_held)):
            await connection.news(sink)
            data = connection.take()
        return data

    def close(self) -> None:
        """Keep the connection for the next call if the reply is whole, else drop it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._client.release(connection)


class ReplicaClient:
    """The connections to one replica.

    Args:
        address: Where the replica listens.
        timeouts: Deadlines of each exchange, in seconds.
        api_key: Bearer key that the replica asks for.
        max_connections: How many exchanges may be in flight at once.
        max_reply_bytes: A reply that is longer is taken to have no end.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeouts: TimeoutSettings,
        api_key: str | None = None,
        max_connections: int = 4096,
        max_reply_bytes: int = _MAX_REPLY_BYTES,
    ) -> None:
        self.timeouts = timeouts
        self._max_reply_bytes = max_reply_bytes
        self._address = address
        self._max_connections = max_connections
        # Ordered, last in first out: the warmest connection is used first.
        self._idle: dict[_Connection, None] = {}
        self._busy: set[_Connection] = set()
        self._connecting = 0
        self._sweeper: asyncio.TimerHandle | None = None
        host = f"[{address.host}]" if ":" in address.host else address.host
        if address.port not in {0, 80, 443}:
            host += f":{address.port}"
        self._common_headers = f"host: {host}\r\naccept-encoding: identity\r\n"
        if api_key is not None:
            self._common_headers += f"authorization: Bearer {api_key}\r\n"
        self._heads: dict[str, bytes] = {}

    @property
    def tls(self) -> RenewedContext | None:
        """What connections are encrypted with; None if they are not."""
        return self._address.tls

    def post(
        self, path: str, body: bytes, headers: bytes = b"", deadline_s: float = math.inf
    ) -> Awaitable[Exchange]:
        """Send a JSON body; give the exchange once the reply's head is in.

        Nothing lasts longer than `deadline_s`, by the event loop's clock, nor than the client's own timeouts.

        A kept connection that the replica closed while we wrote is replaced once by a new one, if no byte
        of a reply had come. One that closes later has been at work on the request, which may have killed it.
        What is sent again says so: `x-lmaas-resent`.

        Source: RFC 9112 §9.3.1, on retrying after a connection closed between requests.

        Raises:
            ReplicaError: by its class, how far it came.
        """
        head = self._heads.get(path)
        if head is None:
            text = f"POST {path} HTTP/1.1\r\n{self._common_headers}content-type: application/json\r\n"
            head = self._heads[path] = text.encode()
        request = (b"%b%bcontent-length: %d\r\n\r\n" % (head, headers, len(body)), body)
        return self._exchange(request, deadline_s)

    def get(self, path: str) -> Awaitable[Exchange]:
        """Ask for `path`; give the exchange once the reply's head is in."""
        return self._exchange((f"GET {path} HTTP/1.1\r\n{self._common_headers}\r\n".encode(), b""), math.inf)

    def release(self, connection: _Connection) -> None:
        """Take a connection back from its exchange."""
        self._busy.discard(connection)
        if connection.is_reusable():
            connection.rest()
            self._idle[connection] = None
        else:
            connection.abort()

    def forget(self, connection: _Connection) -> None:
        """Drop a connection that has ended."""
        self._idle.pop(connection, None)

    def limit(
        self, timeouts: TimeoutSettings, max_connections: int, max_reply_bytes: int = _MAX_REPLY_BYTES
    ) -> None:
        """Change the deadlines and the bounds; what runs keeps the deadline it waits for."""
        self.timeouts = timeouts
        self._max_connections = max_connections
        self._max_reply_bytes = max_reply_bytes

    def close(self) -> None:
        """Close every connection; exchanges in flight end with `ReplicaClosedError`."""
        for connection in (*self._idle, *self._busy):
            connection.fail(ReplicaClosedError("the gateway closed the connection"))
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    async def _exchange(self, request: tuple[bytes, bytes], deadline_s: float) -> Exchange:
        connection = self._take_idle()
        if connection is not None:
            try:
                return await self._run(connection, request, deadline_s)
            except ReplicaClosedError:
                if connection.has_data or connection.lasting_s() > _STALE_AFTER_S:
                    raise
            return await self._send_again(request, deadline_s)
        return await self._run(await self._connect(deadline_s), request, deadline_s)

    async def _send_again(self, request: tuple[bytes, bytes], deadline_s: float) -> Exchange:
        head, body = request
        # Should the replica have read the first one after all, it can tell them apart.
        again = (head[:-2] + _RESENT, body)
        try:
            return await self._run(await self._connect(deadline_s), again, deadline_s)
        except ReplicaError as error:
            error.was_sent_before = True
            raise

    async def _run(
        self, connection: _Connection, request: tuple[bytes, bytes], deadline_s: float
    ) -> Exchange:
        self._busy.add(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_INTERVAL_S, self._sweep)
        try:
            connection.begin(request, deadline_s)
            while not connection.is_head_complete:
                await connection.news()
        except BaseException:
            self._busy.discard(connection)
            connection.abort()
            raise
        return Exchange(self, connection)

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_reusable() and connection.lasting_s() < _KEEP_ALIVE_S:
                return connection
            connection.abort()
        return None

    async def _connect(self, deadline_s: float) -> _Connection:
        if len(self._busy) + self._connecting >= self._max_connections:
            raise ReplicaBusyError(f"{self._max_connections} connections are in use")
        loop = asyncio.get_running_loop()
        own_deadline_s = loop.time() + self.timeouts.connect_s
        self._connecting += 1
        try:
            async with asyncio.timeout_at(min(own_deadline_s, deadline_s)):
                return await self._open(loop)
        except TimeoutError:
            # A call that had less time than a connection may take says nothing of the replica.
            raise ReplicaDeadlineError("total" if deadline_s < own_deadline_s else "connect") from None
        except OSError as error:
            if error.errno in _BUSY_ERRNOS:
                raise ReplicaBusyError(f"no connection for now: {errno.errorcode[error.errno]}") from error
            raise ReplicaConnectError(f"no connection: {type(error).__name__}") from error
        finally:
            self._connecting -= 1

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        address = self._address
        if address.unix_path is not None:
            _, connection = await loop.create_unix_connection(
                lambda: _Connection(self, loop), address.unix_path
            )
        else:
            transport, connection = await loop.create_connection(
                lambda: _Connection(self, loop),
                address.host,
                address.port,
                ssl=address.tls,
                server_hostname=address.host if address.tls else None,
            )
            _notice_silence(transport.get_extra_info("socket"))
        return connection

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        if self._sweeper is not None and loop.time() - self._sweeper.when() > _SWEEP_INTERVAL_S:
            # The loop stood still: what came meanwhile is still to be read, and may be what is waited for.
            self._sweeper = loop.call_later(_READ_FIRST_S, self._check_deadlines)
        else:
            self._check_deadlines()

    def _check_deadlines(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in tuple(self._busy):
            if connection.is_complete:
                continue
            connection.note_progress(now)
            if connection.received_bytes > self._max_reply_bytes:
                connection.fail(ReplicaProtocolError("its reply does not end"))
            elif now > connection.total_deadline_s:
                connection.fail(ReplicaDeadlineError("total"))
            elif now > connection.deadline_s and not connection.is_reading_paused:
                connection.fail(ReplicaDeadlineError("idle" if connection.has_data else "first_byte"))
        self._sweeper = loop.call_later(_SWEEP_INTERVAL_S, self._sweep) if self._busy else None


def _is_chunk(data: bytes) -> bool:
    """Tell whether this is one whole chunk as servers write it, its data ending in a line end."""
    return data.endswith(b"\n\r\n") and data.startswith(_size_line(len(data)))


@lru_cache(maxsize=4096)
def _size_line(chunk_bytes: int) -> bytes:
    """Write the first line of a chunk that is so long as a whole, and not the last one, which is empty.

    Source: RFC 9112 §7.1.
    """
    for digits in range(1, 8):
        data_bytes = chunk_bytes - len(b"\r\n\r\n") - digits
        if data_bytes > 0 and len(line := b"%x\r\n" % data_bytes) == digits + 2:
            return line
    return b"\n"  # no chunk is so long, and none begins like this


def _notice_silence(sock: socket.socket) -> None:
    """Have the system ask a silent peer whether it is there: one that lost its power sends no sign."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE_OPTIONS:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
