"""HTTP/1.1 towards one replica: a keep-alive pool of connections, one exchange on each at a time.

This is the one place where own code replaces a library, because it is what a gateway exists for: one
wake-up a call, and nothing that the job does not need (docs/decisions/0003-own-replica-client.md).
Deadlines are kept by one sweep over the connections in use instead of timers a call.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
from typing import TYPE_CHECKING

from lmaas_gateway.replicas.address import notice_silence
from lmaas_gateway.replicas.connection import Connection, Timeouts
from lmaas_gateway.replicas.faults import (
    ReplicaBusyError,
    ReplicaClosedError,
    ReplicaConnectError,
    ReplicaDeadlineError,
    ReplicaError,
    ReplicaProtocolError,
)
from lmaas_gateway.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from lmaas_gateway.replicas.address import Address
    from lmaas_gateway.replicas.connection import Sink
    from lmaas_gateway.settings import TimeoutSettings
    from lmaas_gateway.tls.renewal import RenewedContext

_MAX_REPLY_BYTES = 256 * 2**20
_SWEEP_INTERVAL_S = 0.25
_RESENT = b"x-lmaas-resent: true\r\n\r\n"
# uvicorn, which vLLM runs on, closes idle connections after 5 s: leave them a little earlier.
_KEEP_ALIVE_S = 4.0
_STALE_AFTER_S = 1.0
# One that closes each connection after a reply must not be asked about it without end.
_LOSS_INTERVAL_S = 1.0
# It is not the replica that is ill: this machine has no file, port or buffer left, or more is asked of a unix
# socket at once than its backlog holds.
_BUSY_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.EAGAIN})


class Exchange:
    """One request and its reply. Whoever holds it must `close` it, always; closing never waits.

    Attributes:
        status: HTTP status of the reply.
        headers: Header names in lower case.
    """

    __slots__ = ("_client", "_connection", "headers", "status")

    def __init__(self, client: ReplicaClient, connection: Connection) -> None:
        self._client = client
        self._connection: Connection | None = connection
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
        self.timeouts = Timeouts.of(timeouts)
        self._max_reply_bytes = max_reply_bytes
        self._address = address
        self._max_connections = max_connections
        # Ordered, last in first out: the warmest connection is used first.
        self._idle: dict[Connection, None] = {}
        self._busy = Rounds(self._check_deadlines, _SWEEP_INTERVAL_S)
        self._connecting = 0
        host = f"[{address.host}]" if ":" in address.host else address.host
        if address.port not in {0, 80, 443}:
            host += f":{address.port}"
        self._common_headers = f"host: {host}\r\naccept-encoding: identity\r\n"
        if api_key is not None:
            self._common_headers += f"authorization: Bearer {api_key}\r\n"
        self._heads: dict[str, bytes] = {}
        self._on_loss: Callable[[], None] | None = None
        self._told_loss_s = -math.inf

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

    def release(self, connection: Connection) -> None:
        """Take a connection back from its exchange."""
        self._busy.discard(connection)
        if connection.is_reusable():
            connection.rest()
            self._idle[connection] = None
        else:
            connection.abort()

    def tell_losses(self, on_loss: Callable[[], None]) -> None:
        """Tell from now on when the replica ends a connection at rest long before it would by habit."""
        self._on_loss = on_loss

    def forget(self, connection: Connection) -> None:
        """Drop a connection that has ended."""
        if connection not in self._idle:
            return
        del self._idle[connection]
        now_s = asyncio.get_running_loop().time()
        is_told = now_s - self._told_loss_s < _LOSS_INTERVAL_S
        if self._on_loss is not None and connection.lasting_s() < _KEEP_ALIVE_S and not is_told:
            self._told_loss_s = now_s
            self._on_loss()

    def limit(
        self, timeouts: TimeoutSettings, max_connections: int, max_reply_bytes: int = _MAX_REPLY_BYTES
    ) -> None:
        """Change the deadlines and the bounds; what runs keeps the deadline it waits for."""
        self.timeouts = Timeouts.of(timeouts)
        self._max_connections = max_connections
        self._max_reply_bytes = max_reply_bytes

    def close(self) -> None:
        """Close every connection; exchanges in flight end with `ReplicaClosedError`."""
        self._on_loss = None
        for connection in (*self._idle, *self._busy):
            connection.fail(ReplicaClosedError("the gateway closed the connection"))
        self._busy.stop()

    async def _exchange(
        self, request: tuple[bytes, bytes], deadline_s: float, *, is_again: bool = False
    ) -> Exchange:
        kept = None if is_again else self._take_idle()
        connection = kept or await self._connect(deadline_s)
        self._busy.add(connection)
        try:
            connection.begin(request, deadline_s)
            while not connection.is_head_complete:
                await connection.news()
        except BaseException as error:
            self._busy.discard(connection)
            connection.abort()
            is_stale = kept is not None and isinstance(error, ReplicaClosedError)
            if not is_stale or connection.has_data or connection.lasting_s() > _STALE_AFTER_S:
                raise
        else:
            return Exchange(self, connection)
        return await self._send_again(request, deadline_s)

    async def _send_again(self, request: tuple[bytes, bytes], deadline_s: float) -> Exchange:
        head, body = request
        # Should the replica have read the first one after all, it can tell them apart.
        again = (head[:-2] + _RESENT, body)
        try:
            return await self._exchange(again, deadline_s, is_again=True)
        except ReplicaError as error:
            error.was_sent_before = True
            raise

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_reusable() and connection.lasting_s() < _KEEP_ALIVE_S:
                return connection
            connection.abort()
        return None

    async def _connect(self, deadline_s: float) -> Connection:
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
            raise ReplicaConnectError(f"no connection: {_reason(error)}") from error
        finally:
            self._connecting -= 1

    async def _open(self, loop: asyncio.AbstractEventLoop) -> Connection:
        address = self._address
        if address.unix_path is not None:
            _, connection = await loop.create_unix_connection(
                lambda: Connection(self, loop), address.unix_path
            )
        else:
            transport, connection = await loop.create_connection(
                lambda: Connection(self, loop),
                address.host,
                address.port,
                ssl=address.tls,
                server_hostname=address.host if address.tls else None,
            )
            notice_silence(transport.get_extra_info("socket"))
        return connection

    def _check_deadlines(self, connections: Sequence[Connection], now: float) -> None:
        for connection in connections:
            if connection.is_complete:
                continue
            connection.note_progress(now)
            if connection.received_bytes > self._max_reply_bytes:
                connection.fail(ReplicaProtocolError("its reply does not end"))
            elif now > connection.total_deadline_s:
                connection.fail(ReplicaDeadlineError("total"))
            elif now > connection.deadline_s and not connection.is_reading_paused:
                connection.fail(ReplicaDeadlineError("idle" if connection.has_data else "first_byte"))


def _reason(error: OSError) -> str:
    """Say what failed; not the system's whole text, which may name a file."""
    if isinstance(error, ConnectionError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return type(error).__name__
