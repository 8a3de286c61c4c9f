"""HTTP/1.1 and server-sent events as bytes: what a fake replica reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"
LAST_CHUNK = b"0\r\n\r\n"


class AttemptName(NamedTuple):
    """What a gateway calls one sending of a call: of one call's, the greater was sent later.

    Attributes:
        request_id: The call's (`x-request-id`).
        number: Which attempt it is, from 1 (`x-lmaas-attempt`).
        is_resent: Whether it was sent again, on a new connection after a kept one (`x-lmaas-resent`).
    """

    request_id: str
    number: int = 1
    is_resent: bool = False


@dataclass(frozen=True)
class Request:
    """One request as it came; header names are in lower case.

    Attributes:
        keeps_alive: Whether its sender wants the connection kept.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    keeps_alive: bool = True

    @property
    def name(self) -> AttemptName:
        """What its sender calls it."""
        number = self.headers.get("x-lmaas-attempt", "")
        return AttemptName(
            self.headers.get("x-request-id", ""),
            int(number) if number.isdecimal() else 1,
            "x-lmaas-resent" in self.headers,
        )

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """The body's JSON object; empty if it is not one."""
        try:
            decoded = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return decoded if isinstance(decoded, dict) else {}


class Frame(NamedTuple):
    """One event of a stream, or a whole plain body.

    Attributes:
        is_token: Whether the pause between two tokens follows it.
        tokens: How many generated tokens it brings.
    """

    data: bytes
    is_token: bool = False
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers, before a script bends it; frames may be consumed once."""

    status: int
    frames: Iterable[Frame]
    content_type: str = JSON
    is_stream: bool = False
    headers: tuple[tuple[str, str], ...] = ()


def json_bytes(value: object) -> bytes:
    """Encode as vLLM does: no blanks, UTF-8 as it is."""
    return msgspec.json.encode(value)


def json_answer(value: object, status: int = 200, *, tokens: int = 0) -> Answer:
    """Make a plain answer of a JSON value, which brings so many generated tokens."""
    return Answer(status, (Frame(json_bytes(value), tokens=tokens),))


def event(value: object, name: str | None = None) -> bytes:
    """Frame one server-sent event, with an `event:` line if it is named."""
    prefix = f"event: {name}\n".encode() if name else b""
    return b"%sdata: %s\n\n" % (prefix, json_bytes(value))


def chunk(data: bytes) -> bytes:
    """Frame one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Write a status line and headers; of two headers of one name the later stands."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    last = {name.lower(): value for name, value in headers}
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in last.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
