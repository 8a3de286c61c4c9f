"""Server-sent events, parsed without I/O.

Feed bytes as they come, cut anywhere; the events are the same for every way of cutting.

Source: WHATWG HTML, §9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

EVENT_STREAM = "text/event-stream"
"""The media type."""

MAX_EVENT_BYTES = 1 << 20
"""The default cap on one event: far above any chunk of an answer, far below what hurts."""

MAX_STREAM_BYTES = 1 << 28
"""The default cap on a whole stream: about a million chunks, which no model's context holds."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its `data` lines joined by newlines, its type ("message" if it has none) and last id."""

    data: str
    event: str = "message"
    id: str = ""
    retry_ms: int | None = None


class StreamTooLargeError(ValueError):
    """An event, or the whole stream, passes its cap. The parser cannot be used after it."""


class SSEParser:
    """Turns bytes into events.

    Lines end in LF, CR or CRLF, a byte-order mark at the start is dropped, comments are skipped, bytes
    that are not UTF-8 become U+FFFD, and an event is complete at its empty line: what is left at the end of
    the input is no event.
    """

    def __init__(
        self, *, max_event_bytes: int = MAX_EVENT_BYTES, max_stream_bytes: int = MAX_STREAM_BYTES
    ) -> None:
        self._max_event_bytes = max_event_bytes
        self._max_stream_bytes = max_stream_bytes
        self._stream_bytes = 0
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._ends_in_cr = False
        self._is_first_line = True
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = ""
        self._id = ""
        self._retry_ms: int | None = None

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Take the next bytes and yield the events that they complete. The iterator has to be used up.

        Raises:
            StreamTooLargeError: an event, or the whole stream, is larger than its cap.
        """
        self._stream_bytes += len(chunk)
        if self._stream_bytes > self._max_stream_bytes:
            message = f"The stream is longer than {self._max_stream_bytes} bytes."
            raise StreamTooLargeError(message)
        for line in self._lines(chunk):
            self._check_size(len(line))
            if line:
                self._take_line(line)
            elif self._data:
                yield self._finish_event()
            else:
                self._event = ""
        self._check_size(self._line_bytes)

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes, without their ends; keep the rest for the next chunk."""
        *complete, rest = self._with_plain_newlines(chunk).split(b"\n")
        if complete:
            self._line.append(complete[0])
            complete[0] = b"".join(self._line)
            self._line.clear()
            self._line_bytes = 0
        if rest:
            self._line.append(rest)
            self._line_bytes += len(rest)
        return complete

    def _with_plain_newlines(self, chunk: bytes) -> bytes:
        # A CR ends its line at once; the LF that may follow in the next chunk belongs to it.
        if self._ends_in_cr and chunk:
            self._ends_in_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" not in chunk:
            return chunk
        self._ends_in_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take_line(self, line: bytes) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value)
        elif name == b"event":
            self._event = _text(value)
        elif name == b"id" and b"\0" not in value:
            self._id = _text(value)
        elif name == b"retry" and value.isdigit():
            self._retry_ms = int(value[:18])

    def _finish_event(self) -> ServerSentEvent:
        event = ServerSentEvent(
            _text(b"\n".join(self._data)), self._event or "message", self._id, self._retry_ms
        )
        self._data.clear()
        self._data_bytes = 0
        self._event = ""
        self._retry_ms = None
        return event

    def _check_size(self, line_bytes: int) -> None:
        if self._data_bytes + line_bytes > self._max_event_bytes:
            message = f"An event of the stream is larger than {self._max_event_bytes} bytes."
            raise StreamTooLargeError(message)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
