"""One connection to a replica: HTTP/1.1, one exchange at a time."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import httptools
import msgspec

from lmaas_gateway.replicas.faults import ReplicaClosedError, ReplicaError, ReplicaProtocolError

if TYPE_CHECKING:
    from lmaas_gateway.settings import TimeoutSettings

# Beside it uvloop reads 256 KiB at once: together what one client that does not read fills here.
_HIGH_WATER_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 64 * 1024


class Timeouts(msgspec.Struct, frozen=True):
    """Deadlines of an exchange: the settings, which cost several times as much to ask on each call."""

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float

    @classmethod
    def of(cls, settings: TimeoutSettings) -> Timeouts:
        """Read them once."""
        return msgspec.convert(settings, cls, from_attributes=True)


class Owner(Protocol):
    """Whose connection it is."""

    timeouts: Timeouts

    def forget(self, connection: Connection) -> None:
        """Take note that a connection has ended."""
        ...


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

    def pass_on(self, chunk: bytes, begin: int) -> bool:
        """Take one chunk as it stands on the wire, or leave it; tell whether it was taken.

        Nothing that came earlier waits to be taken.

        Args:
            chunk: As long as its first line tells. How it ends has not been looked at.
            begin: Where its data begin, behind that line.
        """
        ...


class Connection(asyncio.Protocol):
    """One socket. Parser callbacks fill it; the exchange that holds it empties it."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
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
        timeouts = self._owner.timeouts
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
                self.deadline_s = self._loop.time() + self._owner.timeouts.idle_s
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
            self.deadline_s = now_s + self._owner.timeouts.idle_s

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
        """Take the socket."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end, which is that of the reply where nothing else tells its length."""
        self.is_open = False
        if self._error is not None or self.is_complete:
            pass
        elif self._body_ends_at_eof and self.is_head_complete and exc is None:
            self.is_complete = True
        else:
            self._error = ReplicaClosedError("the replica closed the connection before its reply was whole")
        self._owner.forget(self)
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Hand what has come to the parser, or straight to the sink."""
        size = len(data)
        self.received_bytes += size
        sink = self._sink
        if sink is not None and self._is_between_chunks:
            line = SIZE_LINES[size]
            begin = len(line)
            if data[:begin] == line and sink.pass_on(data, begin):
                return
        self._waiting_bytes += size
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
        """Refuse a reply that nobody asked for."""
        if self.is_complete:
            # Nothing was asked, so it would be taken for the next call's reply.
            message = "a second reply to one request"
            raise ValueError(message)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Take note that the head is whole; heads of 1xx are no replies."""
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
        """Take note that the reply is whole."""
        if self.is_head_complete:
            self.is_complete = True

    def _wake(self) -> None:
        # What comes before the task goes on is the task's, or it would overtake what the task takes.
        self._sink = None
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class _SizeLines(dict[int, bytes]):
    """The first lines of chunks as servers write them, by how many bytes a chunk has as a whole."""

    _MOST = 4096

    def __missing__(self, chunk_bytes: int) -> bytes:
        line = _size_line(chunk_bytes)
        if len(self) < self._MOST:
            self[chunk_bytes] = line
        return line


SIZE_LINES = _SizeLines()


def _size_line(chunk_bytes: int) -> bytes:
    """Write the first line of a chunk that is so long as a whole, and not the last one, which is empty.

    Source: RFC 9112 §7.1.
    """
    for digits in range(1, 8):
        data_bytes = chunk_bytes - len(b"\r\n\r\n") - digits
        if data_bytes > 0 and len(line := b"%x\r\n" % data_bytes) == digits + 2:
            return line
    return b"\n"  # no chunk is so long, and none begins like this
