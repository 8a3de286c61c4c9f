"""From an answer and a script to the steps that a connection takes. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lmaas_gateway.testing.script import Fault, Framing, Point, Script
from lmaas_gateway.testing.wire import LAST_CHUNK, Answer, Frame, chunk, head


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Generated:
    """So many tokens go out with the bytes that come next."""

    tokens: int


class Finish(StrEnum):
    """The reply has gone out whole; what becomes of the connection."""

    KEEP = "keep"
    CLOSE = "close"


Step = Wait | bytes | Generated | Fault | Finish


def steps(answer: Answer, script: Script) -> Iterator[Step]:
    """Lay out one reply; it is over with the first `Fault` or `Finish`."""
    if script.headers_delay_s:
        yield Wait(script.headers_delay_s)
    if fault := script.fault_due(Point.BEFORE_HEADERS):
        yield fault
    elif script.raw is not None:
        yield script.raw.encode("latin-1")
        yield Finish.CLOSE
    else:
        yield from _reply(answer, script)


def _reply(answer: Answer, script: Script) -> Iterator[Step]:
    framing = script.framing
    if framing is Framing.AUTO:
        framing = Framing.CHUNKED if answer.is_stream else Framing.LENGTH
    frames = answer.frames
    headers = [("server", "uvicorn"), ("content-type", answer.content_type), *answer.headers]
    if framing is Framing.CHUNKED:
        headers.append(("transfer-encoding", "chunked"))
    elif framing is Framing.LENGTH:
        frames = tuple(frames)
        length = sum(len(frame.data) for frame in frames) + script.content_length_error
        headers.append(("content-length", str(length)))
    closes = script.close or framing is Framing.EOF or bool(script.content_length_error)
    if closes:
        headers.append(("connection", "close"))
    yield head(answer.status, (*headers, *script.headers))
    if fault := script.fault_due(Point.AFTER_HEADERS):
        yield fault
        return
    yield from _body(iter(frames), script, is_chunked=framing is Framing.CHUNKED)
    yield Finish.CLOSE if closes else Finish.KEEP


def _body(frames: Iterator[Frame], script: Script, *, is_chunked: bool) -> Iterator[Step]:
    pause = script.first_token_delay_s
    for sent, frame in enumerate(frames):
        data = chunk(frame.data) if is_chunked else frame.data
        if fault := script.fault_due(Point.AFTER_EVENTS, sent):
            yield fault
            return
        if pause:
            yield Wait(pause)
        if fault := script.fault_due(Point.INSIDE_EVENT, sent):
            # Torn through the middle: the chunk's announced length is not reached either.
            yield data[: len(data) // 2]
            yield fault
            return
        if frame.tokens:
            yield Generated(frame.tokens)
        yield data
        pause = script.token_gap_s if frame.is_token else 0.0
    if script.fault:
        yield script.fault
        return
    if is_chunked:
        yield LAST_CHUNK
