"""The hot route: a raw ASGI endpoint that feeds the pipeline and writes its reply."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from lmaas_gateway import envelope
from lmaas_gateway.api.bodies import ClientGone
from lmaas_gateway.api.callers import address_of
from lmaas_gateway.api.client_watch import ClientWatch, stream_head
from lmaas_gateway.api.protocol import CONNECTION, CYCLE, FIELDS
from lmaas_gateway.api.timing import add_timing
from lmaas_gateway.api.wishes import read_wishes
from lmaas_gateway.call import NOBODY, Call
from lmaas_gateway.errors import (
    GatewayError,
    InternalError,
    ReplicaRefusalError,
    ServerShuttingDownError,
)
from lmaas_gateway.meter import CLIENT_GONE_STATUS
from lmaas_gateway.notes import SALT, USAGE
from lmaas_gateway.relay import error_body, error_event
from lmaas_gateway.replay.keys import read_idempotency
from lmaas_gateway.replicas.faults import ReplicaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from lmaas_gateway.accounting import Accounting
    from lmaas_gateway.api.bodies import BodyReader
    from lmaas_gateway.api.client_connection import ClientConnection
    from lmaas_gateway.api.client_watch import Silences
    from lmaas_gateway.api.cycle import Cycle
    from lmaas_gateway.call import Exits, Route
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.pipeline import Pipeline
    from lmaas_gateway.reply import Reply

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_LOG = logging.getLogger("lmaas.gateway")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Request ids must be unique, not secret, and the system's generator costs a system call.
_RANDOM = random.Random()  # noqa: S311 - see above


class InferenceEndpoint:
    """Serves one inference route.

    Args:
        route: Which one.
        pipeline: Does the work.
        accounting: Keeps the record of each call.
        bodies: Reads bodies.
        total_s: How long a call may last at most.
        silences: Looks after the open streams.
        clock: Monotonic seconds, as the event loop counts them.
    """

    def __init__(
        self,
        route: Route,
        *,
        pipeline: Pipeline,
        accounting: Accounting,
        bodies: BodyReader,
        total_s: float,
        silences: Silences,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total_s = total_s
        self._clock = clock
        self._silences = silences
        self._tracing = accounting.traces
        self._route = route
        self._pipeline = pipeline
        self._accounting = accounting
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. What was opened is closed here, without waiting, however the call ends."""
        fields: Mapping[bytes, bytes] = scope[FIELDS]
        meter = self._accounting.open(read_request_id(fields), self._route.path)
        cycle: Cycle = scope[CYCLE]
        meter.task = cycle.task
        watch = ClientWatch(meter, send)
        connection: ClientConnection = scope[CONNECTION]
        connection.watchers.add(watch)
        reply = None
        exits: Exits = []
        try:
            if connection.is_lost:
                raise ClientGone  # before this task had begun, so that no watcher has told
            read_call = partial(self._read_call, scope, receive, meter, watch, exits)
            reply = await self._pipeline.handle(scope["headers"], address_of(scope), read_call, meter, exits)
            data = _send_whole(reply, meter, scope, send)
            if data is not None:
                await _send_pieces(reply, data, meter, scope, send, watch)
        except GatewayError as error:
            await self._send_error(error, meter, scope, send, watch)
        except ClientGone:
            _note_gone(meter, scope)
        except asyncio.CancelledError:
            if watch.is_gone:
                _note_gone(meter, scope)
            else:
                await self._send_verdict(reply, meter, scope, send, watch)
        except ReplicaError:
            # The head is out, so all that can be done is to end the connection short of its length.
            meter.outcome = "interrupted"
        except Exception:
            _LOG.exception("a call failed inside the gateway", extra={"request_id": meter.request_id})
            await self._send_error(
                InternalError("The gateway failed on this call; retry."), meter, scope, send, watch
            )
        finally:
            connection.watchers.discard(watch)
            connection.uncork()
            while exits:
                exits.pop()()
            self._accounting.close(meter)
            # Scope and cycle hold each other: that alone would be work for the garbage collector.
            del scope[CYCLE]

    async def _read_call(
        self, scope: Scope, receive: Receive, meter: Meter, watch: ClientWatch, exits: Exits
    ) -> Call:
        fields: Mapping[bytes, bytes] = scope[FIELDS]
        wishes = read_wishes(fields)
        total_s, limit_s = self._total_s, wishes.limit_s
        deadline_s = self._clock() + (total_s if limit_s is None or limit_s > total_s else limit_s)
        body = self._bodies.take(scope, exits)
        if body is None:
            body = await self._bodies.receive(scope, receive, exits)
        idempotency = read_idempotency(fields, body) if wishes.has_idempotency_key else None
        wanted = envelope.read(body)
        forwarded = wishes.forwarded
        if self._tracing is not None:
            forwarded = self._tracing.carry(fields, forwarded, meter, wanted)
        route = self._route
        is_stream = bool(wanted.stream) and route.dialect != "plain"
        wants_usage = True
        choices = sequences = 1
        if route.dialect == "chat":
            choices = sequences = envelope.count_choices(wanted)
        elif route.dialect == "plain":
            sequences = envelope.count_inputs(wanted)
        if is_stream and route.dialect == "chat":
            wants_usage = wanted.stream_options is not None and wanted.stream_options.include_usage is True
            if not wants_usage:
                body = envelope.with_usage(body)
                meter.applied |= USAGE
        caller = meter.caller or NOBODY
        salt = caller.salt if route.is_salted else b""
        if salt:
            salt = envelope.salt_of(wanted, salt)
            body = envelope.with_salt(body, salt, wanted)
            meter.applied |= SALT
        session = envelope.session_of(wanted, wishes.session)
        if session:
            session = b"%b %b" % (caller.tenant.encode(), session)
        if is_stream:
            exits.append(self._silences.add(watch))
        max_tokens = envelope.max_tokens_of(wanted)
        return Call(
            id=meter.request_id,
            route=route,
            model=wanted.model,
            body=body,
            is_stream=is_stream,
            wants_usage=wants_usage,
            choices=choices,
            tokens=envelope.estimate_tokens(wanted, body, choices, max_tokens),
            prompt=envelope.prompt_of(wanted),
            headers=b"x-request-id: %b\r\n%b" % (meter.request_id.encode(), forwarded),
            wanted=wanted,
            idempotency=idempotency,
            cache_control=wishes.cache_control,
            preamble=envelope.preamble_of(wanted, salt),
            session=session,
            deadline_s=deadline_s,
            is_deadline_given=limit_s is not None,
            max_tokens=max_tokens,
            sequences=sequences,
            priority=envelope.priority_of(wanted, wishes.priority),
        )

    async def _send_error(
        self, error: GatewayError, meter: Meter, scope: Scope, send: Send, watch: ClientWatch
    ) -> None:
        """Tell the client, unless it leaves, or the gateway cannot wait, before it takes it."""
        try:
            if watch.has_head:
                await self._send_error_event(error, meter, send)
            else:
                await self._send_error_reply(error, meter, scope, send, watch)
        except asyncio.CancelledError:
            if watch.is_gone:
                _note_gone(meter, scope)

    async def _send_error_reply(
        self, error: GatewayError, meter: Meter, scope: Scope, send: Send, watch: ClientWatch
    ) -> None:
        meter.status, meter.outcome, meter.code = error.status, "error", error.code or ""
        if not isinstance(error, ReplicaRefusalError):
            # What a replica names may be the client's own words.
            meter.param = error.param or ""
        body = error_body(error, self._route, meter.request_id)
        start = {
            "type": "http.response.start",
            "status": error.status,
            "headers": error_headers(error, meter, body),
        }
        connection: ClientConnection = scope[CONNECTION]
        connection.close_if_unread()
        connection.cork()
        watch.has_head = True
        await send(start)
        await send({"type": "http.response.body", "body": body})
        connection.uncork()

    async def _send_error_event(self, error: GatewayError, meter: Meter, send: Send) -> None:
        """End a stream whose head is out."""
        meter.outcome, meter.code = "interrupted", error.code or ""
        await send({"type": "http.response.body", "body": error_event(error, self._route)})

    async def _send_verdict(
        self,
        reply: Reply | None,
        meter: Meter,
        scope: Scope,
        send: Send,
        watch: ClientWatch,
    ) -> None:
        """End a call that may not go on: with an error, or an error event if its stream has begun."""
        error = meter.verdict or ServerShuttingDownError(
            "The gateway is shutting down; retry the call.", retry_after_s=1
        )
        if not watch.has_head or reply is None or reply.is_stream:
            await self._send_error(error, meter, scope, send, watch)


def _note_gone(meter: Meter, scope: Scope) -> None:
    """Note that the client has left; of requests sent ahead, uvicorn itself tells only the newest."""
    meter.status, meter.outcome, meter.code = CLIENT_GONE_STATUS, "client_gone", ""
    cycle: Cycle = scope[CYCLE]
    cycle.disconnected = True


def read_request_id(fields: Mapping[bytes, bytes]) -> str:
    """Take the client's `x-request-id` if it is one that can stand in logs and headers, else make one."""
    given = fields.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return f"req_{_RANDOM.getrandbits(128):032x}"


def error_headers(error: GatewayError, meter: Meter, body: bytes) -> list[tuple[bytes, bytes]]:
    """Write the head of an error reply."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", meter.request_id.encode()),
        *meter.reply_headers,
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return add_timing(headers, meter)


class _Outlet:
    """Where a stream's pieces go without its task.

    Who stands between, as CORS does, sees the head and the end, and changes nothing of what is between them.
    """

    __slots__ = ("_connection", "_watch")

    def __init__(self, connection: ClientConnection, watch: ClientWatch) -> None:
        self._connection = connection
        self._watch = watch

    def is_free(self) -> bool:
        return self._connection.is_free

    def write(self, data: bytes) -> None:
        self.write_chunk(b"%x\r\n%b\r\n" % (len(data), data))

    def write_chunk(self, chunk: bytes) -> None:
        self._watch.is_heard = True
        self._connection.write(chunk)


def _send_whole(reply: Reply, meter: Meter, scope: Scope, send: Send) -> bytes | None:
    """Send a reply that is whole, as almost every plain one; else give its first bytes, maybe none."""
    data = reply.begin()
    if reply.is_over and not reply.is_stream:
        meter.see_first_byte()
        cycle: Cycle = scope[CYCLE]
        # Whoever stands between, as CORS does, must see the head.
        if send == cycle.send and cycle.send_whole(reply.status, _head(reply, meter), data):
            meter.status = reply.status
            return None
    return data


async def _send_pieces(
    reply: Reply, data: bytes, meter: Meter, scope: Scope, send: Send, watch: ClientWatch
) -> None:
    if not data and not reply.is_over:
        data = await reply.read()
    meter.see_first_byte()
    connection: ClientConnection = scope[CONNECTION]
    connection.cork()
    if not watch.has_head:
        watch.has_head = True
        meter.status = reply.status
        headers = _head(reply, meter)
        if reply.content_length is not None:
            headers.append((b"content-length", reply.content_length))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    outlet = _Outlet(connection, watch) if reply.is_stream else None
    while not reply.is_over:
        await send({"type": "http.response.body", "body": data, "more_body": True})
        connection.uncork()
        watch.is_heard = True
        data = await reply.read(outlet)
    await send({"type": "http.response.body", "body": data})
    connection.uncork()


def _head(reply: Reply, meter: Meter) -> list[tuple[bytes, bytes]]:
    if reply.is_stream:
        return stream_head(meter)
    headers = [
        (b"content-type", reply.content_type),
        (b"x-request-id", meter.request_id.encode()),
        *meter.reply_headers,
    ]
    return add_timing(headers, meter)
