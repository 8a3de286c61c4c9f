"""The hot route: a raw ASGI endpoint that feeds the pipeline and writes its reply."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from lmaas_gateway import envelope
from lmaas_gateway.accounting import CLIENT_GONE_STATUS
from lmaas_gateway.api.protocol import CONNECTION
from lmaas_gateway.call import Call
from lmaas_gateway.errors import BodyTooLargeError, GatewayError, InternalError
from lmaas_gateway.relay import error_body
from lmaas_gateway.replicas.client import ReplicaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from lmaas_gateway.accounting import Accounting, Meter
    from lmaas_gateway.api.protocol import ClientConnection
    from lmaas_gateway.call import Route
    from lmaas_gateway.pipeline import Pipeline
    from lmaas_gateway.relay import Reply

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_LOG = logging.getLogger("lmaas.gateway")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Request ids must be unique, not secret, and the system's generator costs a system call.
_RANDOM = random.Random()  # noqa: S311
# What a replica may see of the client's headers. Everything else ends here.
_FORWARDED = frozenset({b"traceparent", b"tracestate", b"anthropic-version", b"anthropic-beta"})


# So that no proxy keeps or gathers events.
_STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class ClientGone(Exception):  # noqa: N818  # an event, not an error of anybody
    """The client closed its connection before it had its reply."""


class _Watch:
    """Cancels the task of a call when its client leaves."""

    __slots__ = ("_task", "is_gone")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.is_gone = False

    def __call__(self) -> None:
        self.is_gone = True
        if self._task is not None:
            self._task.cancel()


class InferenceEndpoint:
    """Serves one inference route.

    Args:
        route: Which one.
        pipeline: Does the work.
        accounting: Keeps the record of each call.
        max_body_bytes: Longer bodies are refused before they are read.
    """

    def __init__(
        self, route: Route, *, pipeline: Pipeline, accounting: Accounting, max_body_bytes: int
    ) -> None:
        self._route = route
        self._pipeline = pipeline
        self._accounting = accounting
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. What was opened is closed here, without waiting, however the call ends."""
        headers = scope["headers"]
        meter = self._accounting.open(read_request_id(headers), self._route.path)
        watch = _Watch()
        connection: ClientConnection = scope[CONNECTION]
        connection.watchers.add(watch)
        reply = None
        try:
            reply = await self._pipeline.handle(
                headers, partial(self._read_call, headers, receive, meter), meter
            )
            await _send_reply(reply, meter, send, connection)
        except GatewayError as error:
            await self._send_error(error, meter, send)
        except ClientGone:
            meter.status, meter.outcome = CLIENT_GONE_STATUS, "client_gone"
        except asyncio.CancelledError:
            meter.status, meter.outcome = CLIENT_GONE_STATUS, "client_gone"
            if not watch.is_gone:
                raise
        except ReplicaError:
            # The head is out, so all that can be done is to end the connection short of its length.
            meter.outcome = "interrupted"
        except Exception:
            _LOG.exception("a call failed inside the gateway", extra={"request_id": meter.request_id})
            await self._send_error(InternalError("The gateway failed on this call; retry."), meter, send)
        finally:
            connection.watchers.discard(watch)
            if reply is not None:
                reply.close()
            meter.close()

    async def _read_call(
        self, headers: Iterable[tuple[bytes, bytes]], receive: Receive, meter: Meter
    ) -> Call:
        body = await self._read_body(headers, receive)
        fields = envelope.read(body)
        is_stream = bool(fields.stream) and self._route.dialect != "plain"
        wants_usage = True
        choices = 1
        if is_stream and self._route.dialect == "chat":
            choices = envelope.count_choices(fields)
            wants_usage = fields.stream_options is not None and fields.stream_options.include_usage is True
            if not wants_usage:
                body = envelope.with_usage(body)
        return Call(
            id=meter.request_id,
            route=self._route,
            model=fields.model,
            body=body,
            is_stream=is_stream,
            wants_usage=wants_usage,
            choices=choices,
            headers=_forwarded_headers(headers, meter.request_id),
        )

    async def _read_body(self, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
        for name, value in headers:
            if name == b"content-length" and int(value) > self._max_body_bytes:
                raise self._too_large()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message["body"]
        if not message["more_body"]:
            return body
        parts = [body]
        size = len(body)
        while message["more_body"]:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message["body"])
            size += len(message["body"])
            if size > self._max_body_bytes:
                raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"The body is longer than {self._max_body_bytes} bytes; send less.")

    async def _send_error(self, error: GatewayError, meter: Meter, send: Send) -> None:
        meter.status, meter.outcome, meter.code = error.status, "error", error.code or ""
        body = error_body(error, self._route, meter.request_id)
        start = {
            "type": "http.response.start",
            "status": error.status,
            "headers": error_headers(error, meter, body),
        }
        await send(start)
        await send({"type": "http.response.body", "body": body})


def read_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Take the client's `x-request-id` if it is one that can stand in logs and headers, else make one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return f"req_{_RANDOM.getrandbits(128):032x}"


def error_headers(error: GatewayError, meter: Meter, body: bytes) -> list[tuple[bytes, bytes]]:
    """Write the head of an error reply."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", meter.request_id.encode()),
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def _forwarded_headers(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> bytes:
    lines = b"x-request-id: %b\r\n" % request_id.encode()
    for name, value in headers:
        if name in _FORWARDED:
            lines += b"%b: %b\r\n" % (name, value)
    return lines


async def _send_reply(reply: Reply, meter: Meter, send: Send, connection: ClientConnection) -> None:
    meter.status = reply.status
    headers = [(b"content-type", reply.content_type), (b"x-request-id", meter.request_id.encode())]
    if reply.content_length is not None:
        headers.append((b"content-length", reply.content_length))
    if reply.is_stream:
        headers += _STREAM_HEADERS
    data = await reply.read()
    meter.see_first_byte()
    connection.cork()
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    while not reply.is_over:
        await send({"type": "http.response.body", "body": data, "more_body": True})
        connection.uncork()
        data = await reply.read()
    await send({"type": "http.response.body", "body": data})
    connection.uncork()
