"""uvicorn's HTTP protocol, with what it lacks.

It tells at once that a client left, writes a reply's head and body in one system call, answers malformed
bytes with OpenAI's error object, and gives a client only so long and so much: for a head, for a body, for
reading its reply (`connections.py`, `heads.py`).

An endpoint finds its `ClientConnection` under `scope[CONNECTION]`, its request's `Cycle` under
`scope[CYCLE]`, its headers by name under `scope[FIELDS]`.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lmaas_gateway.api.client_connection import ClientConnection
from lmaas_gateway.api.connections import NEVER
from lmaas_gateway.api.cycle import Cycle
from lmaas_gateway.api.heads import without_upgrade
from lmaas_gateway.errors import BadRequestError, MethodNotAllowedError, RequestTimeoutError
from lmaas_gateway.relay import error_body

if TYPE_CHECKING:
    import asyncio

    import uvicorn
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from lmaas_gateway.api.connections import Connections
    from lmaas_gateway.errors import GatewayError

CONNECTION = "lmaas.connection"
CYCLE = "lmaas.cycle"
FIELDS = "lmaas.fields"

# Where a connection stands. Up to `_REPLY`, bytes that come are parsed.
_IDLE, _HEAD, _BODY, _REPLY, _DEAF, _TURNED_AWAY, _ENDING = range(7)

# How long a client that was refused while it still sent may take to read why, before the connection is cut.
_LINGER_S = 2.0
# Takes headers that nobody shall see.
_NOWHERE: deque[tuple[bytes, bytes]] = deque(maxlen=0)
# Requests sent ahead of their replies cost memory before anything counts them.
_MAX_PIPELINED = 32
_STATUS_LINES = {
    400: b"400 Bad Request",
    405: b"405 Method Not Allowed",
    408: b"408 Request Timeout",
    414: b"414 URI Too Long",
    431: b"431 Request Header Fields Too Large",
    503: b"503 Service Unavailable",
}


class _RefusedError(Exception):
    """Stops the parser at a head that is refused."""

    def __init__(self, refusal: GatewayError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class GatewayProtocol(HttpToolsProtocol):
    """One client connection.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        _loop: uvicorn's.
        connections: All of them, with their rules.

    Attributes:
        deadline_s: When the client must have gone on, by the loop's clock.
        write_deadline_s: When the client must have read something.
        group: What the connection is counted under.
    """

    cycle: Cycle

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._connections = connections
        self._bounds = connections.bounds
        self._rules = connections.rules
        self._phase = _HEAD
        self._head_bytes = self._fed_bytes = self._body_bytes = 0
        self._body_begun_s = 0.0
        self._stalled_bytes = 0
        self._is_upgrade = False
        self._turn_away: GatewayError | None = None
        self.deadline_s = self.write_deadline_s = NEVER
        self.group: str | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin a connection, or turn it away if there are too many."""
        self._raw = transport
        self._client_connection = ClientConnection(transport, self)
        super().connection_made(self._client_connection)  # type: ignore[arg-type]  # it has a transport's methods
        # What is the same in all requests of a connection.
        self._blank_scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            CONNECTION: self._client_connection,
        }
        self._expect_head()
        self._turn_away = self._connections.admit(self, self._address)
        if self._turn_away is not None:
            self._phase = _TURNED_AWAY
            self.deadline_s = self.loop.time() + _LINGER_S
            if self._connections.is_crowded:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every watcher, those of pipelined requests too."""
        self._phase = _ENDING
        self._client_connection.is_lost = True
        self._client_connection.is_free = False
        self._connections.leave(self, was_admitted=self._turn_away is None)
        super().connection_lost(exc)
        for watcher in tuple(self._client_connection.watchers):
            watcher()

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless nothing that comes counts any more."""
        if self._phase > _REPLY:
            if self._turn_away is not None and self._phase == _TURNED_AWAY:
                self._write_refusal(self._turn_away)
            return
        if self._phase == _IDLE:
            self._expect_head()
        was_head = self._phase == _HEAD
        self._fed_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause.refusal if isinstance(cause, _RefusedError) else _malformed())
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(_malformed())
        if self._phase == _HEAD:
            # Of a head that began behind another request in the same piece, `check_size` sees the rest.
            self._head_bytes += len(data) if was_head else 1
            if self._head_bytes > self._bounds.max_header_bytes:
                self._refuse(self._rules.too_long())

    def pause_writing(self) -> None:
        """Begin to watch how fast the client reads."""
        super().pause_writing()
        self._client_connection.is_free = False
        self._stalled_bytes = self._raw.get_write_buffer_size()
        self.write_deadline_s = self.loop.time() + self._bounds.write_stall_s

    def resume_writing(self) -> None:
        """The client has read enough."""
        super().resume_writing()
        self._client_connection.is_free = self._phase != _ENDING
        self.write_deadline_s = NEVER

    # httptools callbacks

    def on_message_begin(self) -> None:
        """Begin a request: let its endpoint find the connection."""
        self.url = b""
        self.headers = []
        self.scope = self._blank_scope.copy()  # type: ignore[assignment]  # a scope may hold more
        self.scope["headers"] = self.headers
        self.scope["state"] = self.app_state.copy()
        if self._phase != _HEAD:
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; trailers, which come after the request was begun, go nowhere."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Refuse the request or begin it."""
        parser, headers = self.parser, self.headers
        fields = dict(headers)
        version = parser.get_http_version()
        refusal = self._rules.check(version, self.url, headers, fields)
        if refusal is None and self._head_bytes + self._fed_bytes > self._bounds.max_header_bytes:
            refusal = self._rules.check_size(headers, self.url)
        if refusal is not None:
            raise _RefusedError(refusal)
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise _RefusedError(BadRequestError("Too many requests were sent ahead of their replies."))
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise _RefusedError(MethodNotAllowedError("This gateway is no proxy."))
            self._is_upgrade = True
            return
        self._begin(version, fields)
        self.headers = _NOWHERE  # type: ignore[assignment]  # trailers are appended to it, and are gone
        self._phase = _BODY
        self._body_bytes = 0
        self._body_begun_s = self.loop.time()
        self.deadline_s = self._body_begun_s + self._bounds.body_timeout_s

    def _begin(self, version: str, fields: dict[bytes, bytes]) -> None:
        """Hand a request to the application, or keep it until those before it are answered."""
        parser = self.parser
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # a scope may hold more
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = _read_target(self.url)
        scope[FIELDS] = fields
        earlier = self._newest
        expect = fields.get(b"expect")
        cycle = self.cycle = scope[CYCLE] = Cycle(scope, self)
        cycle.keep_alive = version != "1.0" and parser.should_keep_alive()
        cycle.waiting_for_100_continue = expect is not None and expect.lower() == b"100-continue"
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin to serve a request, and let its endpoint find the task."""
        task = self.loop.create_task(cycle.run_asgi(app))
        cycle.task = task  # type: ignore[attr-defined]  # all of them are ours
        self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(body)
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            if not cycle.message_event.rings:
                cycle.message_event.set()

    def on_message_complete(self) -> None:
        """End a request; go on reading, or a long body would leave the client's departure unseen."""
        if self._is_upgrade:
            return
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            if not cycle.message_event.rings:
                cycle.message_event.set()
        self._phase = _REPLY
        self.deadline_s = NEVER
        if self.flow.read_paused and not self.pipeline:
            self.flow.resume_reading()

    # What uvicorn asks for.

    def on_response_complete(self) -> None:
        """Begin the next request of the pipe, or wait for one; the sweep ends a wait that is too long."""
        self.server_state.total_requests += 1
        if self._raw.is_closing() or self._phase == _ENDING:
            return
        if self.cycle.response_complete and self.cycle.more_body:
            # The rest of the body has nobody to read it.
            self.end()
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if self._phase == _DEAF and cycle.more_body:
                # It was refused while it waited for its turn; only now can it answer.
                self.deadline_s = self.loop.time() + _LINGER_S
        elif self._phase == _REPLY:
            self._phase = _IDLE
            self.deadline_s = self.loop.time() + self._bounds.keep_alive_s
        elif self._phase == _HEAD:
            self.deadline_s = self.loop.time() + self._bounds.header_timeout_s

    # What the sweep asks for.

    def expire(self, now_s: float) -> None:
        """A deadline has passed."""
        if now_s >= self.write_deadline_s:
            self._check_reader(now_s)
        if now_s < self.deadline_s:
            return
        if self._phase == _HEAD:
            self._end_head(now_s)
        elif self._phase == _BODY:
            self._end_body(now_s)
        elif self._phase == _IDLE:
            self._close()
        else:
            self._give_up()

    def _check_reader(self, now_s: float) -> None:
        """Cut a client that reads more slowly than an honest one could."""
        stalled_s = now_s - self.write_deadline_s + self._bounds.write_stall_s
        read_bytes = self._stalled_bytes - self._raw.get_write_buffer_size()
        if read_bytes < stalled_s * self._bounds.min_bytes_per_s:
            self._connections.count_ended("slow_reader")
            self._raw.abort()
            return
        # Its pace is fine so far: measure anew from here.
        self._stalled_bytes -= read_bytes
        self.write_deadline_s = now_s + self._bounds.write_stall_s

    def _end_head(self, now_s: float) -> None:
        if self._newest is not None and not self._newest.response_complete:
            # It waits for us, not we for it.
            self.deadline_s = now_s + self._bounds.header_timeout_s
            return
        self._connections.count_ended("head_timeout")
        if self._head_bytes:
            self._refuse(
                RequestTimeoutError(
                    f"The request's head was not complete after {self._bounds.header_timeout_s:g} s."
                )
            )
        else:
            self._raw.close()

    def _end_body(self, now_s: float) -> None:
        due_s = (
            self._body_begun_s + self._bounds.body_timeout_s + self._body_bytes / self._bounds.min_bytes_per_s
        )
        if self.flow.read_paused:
            # We do not take it in: no fault of the client.
            due_s = now_s + self._bounds.body_timeout_s
        if due_s > now_s:
            self.deadline_s = due_s
            return
        self._connections.count_ended("body_timeout")
        self._refuse(
            RequestTimeoutError(
                f"The body was not complete after {now_s - self._body_begun_s:.0f} s, and comes more slowly "
                f"than {self._bounds.min_bytes_per_s} bytes a second."
            )
        )

    def _give_up(self) -> None:
        """Cut what was given time to end and has not."""
        refusal, cycle = self._client_connection.refusal, self.cycle
        if self._phase == _DEAF and refusal is not None and not cycle.response_started:
            # Its application waits for the rest of a body that will not come.
            self._write_refusal(refusal)
            cycle.message_event.set()
        else:
            self._raw.abort()

    # The ends of a connection.

    def _expect_head(self) -> None:
        self._phase = _HEAD
        self._head_bytes = 0
        self.deadline_s = self.loop.time() + self._bounds.header_timeout_s

    def _refuse(self, error: GatewayError) -> None:
        """Answer `error` and close, after the replies that are under way."""
        if self._phase >= _DEAF:
            return
        cycle = self._newest
        if cycle is None or cycle.response_complete:
            self._write_refusal(error)
            return
        self._phase = _DEAF
        self.deadline_s = NEVER
        cycle.keep_alive = False
        if cycle.more_body:
            # Its endpoint is told the next time it asks for the body, and answers in its own way.
            self._client_connection.refusal = error
            cycle.message_event.set()
            if not self.pipeline:
                self.deadline_s = self.loop.time() + _LINGER_S

    def _write_refusal(self, error: GatewayError) -> None:
        body = error_body(error, None)
        retry = b"" if error.retry_after_s is None else b"retry-after: %d\r\n" % error.retry_after_s
        self._raw.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (_STATUS_LINES[error.status], retry, len(body), body)
        )
        self._phase = _DEAF
        self.end()

    def close_if_unread(self) -> None:
        """Let the next reply be the last one if its request's body has not come whole."""
        if self.cycle.more_body:
            self.cycle.keep_alive = False

    def end(self) -> None:
        """Close, but not over a client that still sends: its bytes would wipe out what it has not read."""
        cycle = self._newest
        if self._raw.is_closing() or self._phase == _ENDING:
            return
        is_sending = self._phase == _DEAF or (cycle is not None and cycle.more_body)
        if not is_sending or not self._raw.can_write_eof():
            self._close()
            return
        self._begin_end(_LINGER_S)
        if cycle is not None:
            cycle.disconnected = True
        self.flow.resume_reading()
        self._raw.write_eof()

    def _close(self) -> None:
        self._begin_end(0)
        self._raw.close()

    def _begin_end(self, within_s: float) -> None:
        """Cut the connection if it has not ended by then; what is still to be read may take longer."""
        if self._raw.get_write_buffer_size():
            within_s = self._bounds.write_stall_s
        self._phase = _ENDING
        self._client_connection.is_free = False
        self.deadline_s = self.loop.time() + within_s

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Serve a request that asks for another protocol as if it had not asked; uvicorn loses its body."""
        head = without_upgrade(
            self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers
        )
        self._is_upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(head + rest)

    @property
    def _newest(self) -> RequestResponseCycle | None:
        """The request whose head came last; uvicorn does not say that there may be none."""
        return self.cycle

    @property
    def _address(self) -> str | None:
        return None if self.client is None else self.client[0]


# Almost all requests are for one of few; one that its sender made up drives out what is read anew in no time.
@lru_cache(maxsize=128)
def _read_target(url: bytes) -> tuple[str, bytes, bytes]:
    """Take a request's target apart: its path as text and as it came, and its query.

    Raises:
        HttpParserInvalidURLError: it is none.
    """
    parts = httptools.parse_url(url)
    raw_path: bytes = parts.path
    path = raw_path.decode("ascii")
    return unquote(path) if "%" in path else path, raw_path, parts.query or b""


def _malformed() -> GatewayError:
    return BadRequestError("Invalid HTTP request received. The connection is closed.")
