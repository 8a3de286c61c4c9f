"""Reads a stream for its times: when each chunk came that says something, and what the usage is.

A load generator must not be what it measures. A typed chunk costs several times what this does, so the
stream is read one level lower, where the SDK hands over bytes; deadlines and errors are the SDK's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from lmaas._failures import event_error
from lmaas.errors import StreamError, StreamTruncatedError
from lmaas.sse import SSEParser, StreamTooLargeError

if TYPE_CHECKING:
    from lmaas._failures import Exchange

_SAID_IN: Final = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal")
"""Where the delta of a chat can say something; `role` alone says nothing."""


class TimingReader:
    """A `Reader` that yields nothing and keeps times.

    Args:
        reply: The head of the reply, for what errors tell.
        clock: Seconds that only grow.

    Attributes:
        times_s: By the clock, when each chunk came that says something.
        done_s: When the answer was whole; None before.
        usage: As the server told it; {} if it did not.
    """

    def __init__(self, reply: Exchange, clock: Callable[[], float]) -> None:
        self._reply = reply
        self._clock = clock
        self._parser = SSEParser()
        self._is_between_events = True
        self._unfinished: set[int] = set()
        self._has_finished = False
        self.times_s: list[float] = []
        self.done_s: float | None = None
        self.usage: dict[str, Any] = {}
        self.events = 0

    @property
    def is_done(self) -> bool:
        """Whether the answer is whole."""
        return self.done_s is not None

    @property
    def partial_text(self) -> str:
        """Nothing: texts are not kept."""
        return ""

    def feed(self, chunk: bytes) -> Iterator[None]:
        """Take note of what `chunk` completes; yields nothing.

        Raises:
            APIError: an event is an error, or is no event of such a stream.
        """
        if self.done_s is None:
            now_s = self._clock()
            # Nearly every chunk is one event on one line: that one needs no parser.
            if (
                self._is_between_events
                and chunk[:6] == b"data: "
                and chunk.find(b"\n") == len(chunk) - 2
                and chunk[-1:] == b"\n"
                and b"\r" not in chunk
            ):
                self._take(chunk[6:-2], "message", now_s)
            else:
                self._split(chunk, now_s)
        return iter(())

    def finish(self) -> None:
        """Take note of the end of the bytes.

        Raises:
            StreamTruncatedError: the answer is not whole.
        """
        if self.done_s is None:
            raise self._truncated("The stream ended without [DONE]")

    def _split(self, chunk: bytes, now_s: float) -> None:
        try:
            for event in self._parser.feed(chunk):
                if self.done_s is None:
                    self._take(event.data.encode(), event.event, now_s)
        except StreamTooLargeError as exc:
            raise StreamError(str(exc)) from exc
        self._is_between_events = chunk.endswith((b"\n\n", b"\r\n\r\n"))

    def _take(self, data: bytes, kind: str, now_s: float) -> None:
        self.events += 1
        if kind == "message" and self._unfinished and _is_one_more_piece(data):
            self.times_s.append(now_s)
        elif data == b"[DONE]":
            self._take_done(now_s)
        else:
            self._parse_event(data, kind, now_s)

    def _parse_event(self, data: bytes, kind: str, now_s: float) -> None:
        try:
            event = json.loads(data)
            is_chunk = kind != "error" and not event.get("error")
            if is_chunk:
                self._take_chunk(event, now_s)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            is_chunk = False
        if not is_chunk:
            self._raise(data, kind)

    def _take_chunk(self, event: dict[str, Any], now_s: float) -> None:
        for choice in event["choices"]:
            self._take_choice(choice, now_s)
        if isinstance(usage := event.get("usage"), dict):
            self.usage = usage

    def _take_choice(self, choice: dict[str, Any], now_s: float) -> None:
        delta = choice.get("delta")
        if delta is None:
            says = choice.get("text")
        else:
            says = delta.get("content") or any(delta.get(name) for name in _SAID_IN)
        if says:
            self.times_s.append(now_s)
        if choice.get("finish_reason") is not None:
            self._has_finished = True
            self._unfinished.discard(choice["index"])
        elif not self._has_finished:
            self._unfinished.add(choice["index"])

    def _take_done(self, now_s: float) -> None:
        if not self._has_finished or self._unfinished:
            raise self._truncated("The stream ended without a finish reason")
        self.done_s = now_s

    def _raise(self, data: bytes, kind: str) -> None:
        error = event_error(self._reply, data.decode("utf-8", "replace"), is_error_event=kind == "error")
        raise error or StreamError("An event of the stream is no chunk of a completion.")

    def _truncated(self, what: str) -> StreamTruncatedError:
        return StreamTruncatedError(f"{what}: the answer is not whole.")


def _is_one_more_piece(data: bytes) -> bool:
    """Tell, without parsing, whether an event is one more piece of an unfinished chat, as vLLM writes it.

    A quote within a text is written with a backslash, so none of these can be part of one. What is written in
    another way is parsed.
    """
    start = data.find(b'"delta":{"content":"')
    return (
        start > 0
        and data[start + 20 : start + 21] != b'"'
        and b'"finish_reason":null' in data
        and b'"usage":{' not in data
        and b'"error"' not in data
        and data.find(b'"delta"', start + 1) < 0
    )
