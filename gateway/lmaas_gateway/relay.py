"""Bring a replica's reply to the client: bytes through, usage tapped, a broken stream said to be broken."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway import usage
from lmaas_gateway.call import Call
from lmaas_gateway.errors import (
    DeadlineExceededError,
    GatewayError,
    ReplicaRefusalError,
    StreamInterruptedError,
)
from lmaas_gateway.events import EventTap
from lmaas_gateway.finish import can_finish, finish
from lmaas_gateway.replicas.faults import ReplicaDeadlineError, ReplicaError

if TYPE_CHECKING:
    from lmaas_gateway.call import Route, Usage
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.replicas.forwarded import Forwarded
    from lmaas_gateway.reply import Allowance, Outlet, Reply

# vLLM writes usage at the end of a reply, at most some fields from it.
_TAIL_BYTES = 64 * 1024
_MAX_ERROR_BYTES = 256 * 1024
# English text has about four bytes a token in most vocabularies.
_BYTES_PER_TOKEN = 4
# A token makes one event, seldom two (a tool call's name and its arguments); others open and close.
_EVENTS_PER_TOKEN = 2
_SLACK_EVENTS = 64
# pydantic's own words in a list of its problems, as vLLM writes it into a message.
_PROBLEM = re.compile(r"'msg': '([^'\\]*)'")
_MAX_PROBLEMS = 3


def relay(call: Call, forwarded: Forwarded, meter: Meter, allowance: Allowance | None = None) -> Reply:
    """Make the reply to `call` out of what its replica began to answer.

    Args:
        call: What was asked.
        forwarded: The reply that has begun.
        meter: Takes note of it.
        allowance: Of a stream that must ask for its tokens as it goes.
    """
    if not call.is_stream:
        content_type = forwarded.exchange.headers.get(b"content-type", b"application/json")
        return PlainReply(forwarded, meter, content_type)
    return StreamReply(call, forwarded, meter, allowance)


class PlainReply:
    """A reply in one piece, or in pieces of a known length. Its last bytes are kept to find its usage."""

    __slots__ = ("_forwarded", "_meter", "_tail", "content_length", "content_type", "is_over", "status")
    is_stream = False

    def __init__(self, forwarded: Forwarded, meter: Meter, content_type: bytes) -> None:
        self._forwarded = forwarded
        self._meter = meter
        self._tail = b""
        self.status = forwarded.exchange.status
        self.content_type = content_type
        self.content_length = forwarded.exchange.headers.get(b"content-length")
        self.is_over = False

    def begin(self) -> bytes:
        """Give the first bytes, which are all of most replies."""
        self._tail = self._forwarded.first
        self._note_progress()
        return self._tail

    async def read(self, outlet: Outlet | None = None) -> bytes:  # noqa: ARG002  # it has few pieces
        """Give the next bytes to send; none at the end."""
        exchange = self._forwarded.exchange
        try:
            data = await exchange.read()
        except ReplicaError as error:
            if not (isinstance(error, ReplicaDeadlineError) and error.is_of_call):
                self._forwarded.note_broken()
            raise
        self._tail = data[-_TAIL_BYTES:] if len(data) >= _TAIL_BYTES else self._tail[-_TAIL_BYTES:] + data
        self._note_progress()
        return data

    def note_usage(self) -> None:
        """Take note of the tokens that the reply told of."""
        if self._meter.usage is None:
            # Most replies end with their usage; a ranking begins with it.
            self._meter.usage = usage.find(self._tail) or usage.find(self._forwarded.first)
            self._meter.engine_us = usage.find_times_us(self._tail)

    def _note_progress(self) -> None:
        """See whether it is whole; if so, have its tokens kept before its last bytes go out."""
        self.is_over = self._forwarded.exchange.is_drained
        if self.is_over and self._meter.open_call is not None:
            self.note_usage()
            if self._meter.usage is not None:
                self._meter.open_call.note_usage(self._meter.usage)


class StreamReply:
    """A stream of events. It ends with its terminal event, or with an error event: never in between."""

    __slots__ = (
        "_allowance",
        "_call",
        "_failure",
        "_forwarded",
        "_meter",
        "_open_call",
        "_outlet",
        "_tap",
        "content_length",
        "content_type",
        "is_held",
        "is_over",
        "status",
    )
    is_stream = True

    def __init__(
        self, call: Call, forwarded: Forwarded, meter: Meter, allowance: Allowance | None = None
    ) -> None:
        self._call = call
        self._allowance = allowance
        self.is_held = False
        self._forwarded = forwarded
        self._meter = meter
        self._open_call = meter.open_call
        self.is_over = False
        self._failure: ReplicaError | None = None
        self._outlet: Outlet | None = None
        self._tap = EventTap(
            call.route.dialect,
            choices=call.choices,
            is_usage_hidden=not call.wants_usage,
            max_tokens=_most_events(call, forwarded.max_model_len),
        )
        if allowance is not None:
            self._tap.pass_up_to(allowance.completion_tokens)
        self.status = 200
        self.content_type = b"text/event-stream; charset=utf-8"
        self.content_length: bytes | None = None

    def begin(self) -> bytes:
        """Give the first whole events, if the first bytes hold any."""
        return self._pass(self._forwarded.first)

    async def read(self, outlet: Outlet | None = None) -> bytes:
        """Give the next whole events; none at the end."""
        self._outlet = outlet
        while not self.is_over:
            data = await self._ask_on() if self.is_held else self._go_on(await self._read_on())
            if data:
                return data
        return b""

    def take(self) -> bool:
        """Write what has come to the outlet, if it is free; tell whether the reader may sleep on."""
        outlet = self._outlet
        if outlet is None or not outlet.is_free():
            return False
        data = self._pass(self._forwarded.exchange.take())
        if data:
            outlet.write(data)
        return not (self.is_over or self.is_held)

    def pass_on(self, chunk: bytes, begin: int) -> bool:
        """Write a chunk to the outlet as it came, if it holds one event with text and nothing else."""
        outlet, tap = self._outlet, self._tap
        if outlet is None or not outlet.is_free() or not tap.pass_on(chunk, begin):
            return False
        if self._open_call is not None:
            self._open_call.note_tokens(tap.tokens)
        outlet.write_chunk(chunk)
        return True

    def _go_on(self, data: bytes) -> bytes:
        if self.is_over or self.is_held:
            return b""  # the outlet has had it all, or all that it may have
        return self._pass(data) if data else self._end()

    def _pass(self, data: bytes) -> bytes:
        return self._passed(self._tap.feed(data))

    def _passed(self, data: bytes) -> bytes:
        tap = self._tap
        if tap.is_held:
            data += self._extend_now()
        if self._open_call is not None:
            self._open_call.note_tokens(tap.tokens)
        if tap.is_broken:
            return data + self._end()
        if tap.is_complete:
            self._complete()
        return data

    def _extend_now(self) -> bytes:
        """Give what was held, as far as more tokens can be had at once."""
        tap, allowance, data = self._tap, self._allowance, b""
        while tap.is_held and allowance is not None and allowance.extend_now():
            data += tap.pass_up_to(allowance.completion_tokens)
        self.is_held = tap.is_held
        return data

    async def _ask_on(self) -> bytes:
        """Have more tokens, and give what was held; or end the stream, since there are no more."""
        allowance = self._allowance
        assert allowance is not None  # nothing is held without one  # noqa: S101
        refusal = await allowance.extend()
        if refusal is not None:
            return self._finish(refusal)
        self.is_held = False
        return self._passed(self._tap.pass_up_to(allowance.completion_tokens))

    def _finish(self, refusal: GatewayError) -> bytes:
        """End the stream as its dialect ends one that has no more tokens."""
        self.is_over = True
        self._meter.outcome, self._meter.code = "limited", refusal.code or ""
        call, tap = self._call, self._tap
        if not can_finish(call):
            return error_event(refusal, call.route)
        told = self._estimate(tap.usage())
        unfinished = [index for index in range(call.choices) if index not in tap.finished]
        return finish(call, self._forwarded.first, unfinished, told, refusal)

    def _complete(self) -> None:
        self._meter.is_whole = True
        self.is_over = self._forwarded.exchange.is_drained
        if self._open_call is not None:
            self.note_usage()
            if self._meter.usage is not None:
                self._open_call.note_usage(self._meter.usage)

    def note_usage(self) -> None:
        """Take note of the tokens that the reply told of; what it could not tell any more is estimated."""
        if self._meter.is_whole and self._meter.usage is not None:
            return
        tap = self._tap
        told = tap.usage()
        self._meter.usage = self._estimate(told) if told is None or not tap.is_complete else told
        self._meter.engine_us = tap.engine_us()

    def _estimate(self, told: Usage | None) -> Usage:
        prompt_tokens = self._meter.prompt_tokens or len(self._call.prompt) // _BYTES_PER_TOKEN
        return usage.estimate(told, prompt_tokens=prompt_tokens, completion_tokens=max(0, self._tap.tokens))

    async def _read_on(self) -> bytes:
        try:
            return await self._forwarded.exchange.read(None if self._outlet is None else self)
        except ReplicaError as error:
            self._failure = error
            return b""

    def _end(self) -> bytes:
        """Close the stream: with nothing more if it is whole, else with an error event."""
        self.is_over = True
        if self._tap.is_complete and not self._tap.is_broken:
            return b""
        self._meter.outcome = "interrupted"
        error = self._explain()
        if not isinstance(error, DeadlineExceededError):
            self._forwarded.note_broken(is_told=self._tap.is_broken and self._failure is None)
        self._meter.code = error.code or ""
        return error_event(error, self._call.route)

    def _explain(self) -> GatewayError:
        failure = self._failure
        if isinstance(failure, ReplicaDeadlineError) and failure.deadline == "total":
            return DeadlineExceededError("The call's deadline passed; what came before is incomplete.")
        return StreamInterruptedError(
            f"The replica of {self._call.model!r} broke off; what came before is incomplete. Retry the call."
        )


def _most_events(call: Call, max_model_len: int | None) -> float:
    """Tell how many events with text a stream can have; one that sends more will never end by itself."""
    longest = call.max_tokens or max_model_len
    return math.inf if longest is None else call.choices * (longest * _EVENTS_PER_TOKEN + _SLACK_EVENTS)


def error_body(error: GatewayError, route: Route | None, request_id: str = "") -> bytes:
    """Write OpenAI's error object, or Anthropic's on its route."""
    if route is not None and route.dialect == "messages":
        default = "invalid_request_error" if error.status < 500 else "api_error"
        kind = _ANTHROPIC_TYPES.get(error.status, default)
        body: object = {
            "type": "error",
            "error": {"type": kind, "message": error.message},
            "request_id": request_id,
        }
    else:
        body = {"error": _fields(error)}
    return msgspec.json.encode(body)


def _fields(error: GatewayError) -> dict[str, str | bool | None]:
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}


def error_event(error: GatewayError, route: Route) -> bytes:
    """Write an error as the last event of a stream, in the stream's dialect."""
    if route.dialect == "messages":
        return b"event: error\ndata: " + error_body(error, route) + b"\n\n"
    if route.dialect == "responses":
        return b"event: error\ndata: " + msgspec.json.encode({**_fields(error), "type": "error"}) + b"\n\n"
    fields = {**_fields(error), "retryable": error.is_retryable}
    return b"data: " + msgspec.json.encode({"error": fields}) + b"\n\n"


# Source: Anthropic's API reference, "Errors".
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class _WireError(msgspec.Struct):
    message: str | None = None
    param: str | None = None


class _WireErrorBody(msgspec.Struct):
    error: _WireError | None = None
    message: str | None = None


_ERRORS = msgspec.json.Decoder(_WireErrorBody)


async def read_refusal(call: Call, forwarded: Forwarded) -> GatewayError:
    """Read a replica's error reply and turn it into ours."""
    status = forwarded.exchange.status
    body = forwarded.first
    try:
        while len(body) < _MAX_ERROR_BYTES and (data := await forwarded.exchange.read()):
            body += data
    except ReplicaError:
        pass
    return refusal(status, body, call.model)


def refusal(status: int, body: bytes, model: str) -> GatewayError:
    """Turn a replica's refusal of the request into ours; its text is kept."""
    try:
        wire = _ERRORS.decode(body)
        error = wire.error or _WireError(wire.message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = _WireError()
    message = error.message or f"The model {model!r} does not take this call (HTTP {status})."
    param = None if error.param is None else error.param.removeprefix("body.")
    return ReplicaRefusalError(status, _without_input(message, param), param=param)


def _without_input(message: str, param: str | None) -> str:
    """Take the client's own text out of vLLM's list of validation problems, leaving what was wrong."""
    if "'input':" not in message:
        return message
    problems = list(dict.fromkeys(_PROBLEM.findall(message))) or ["It is not what this field takes"]
    return (
        f"`{param}` cannot be used: {'; '.join(problems[:_MAX_PROBLEMS])}." if param else "; ".join(problems)
    )
