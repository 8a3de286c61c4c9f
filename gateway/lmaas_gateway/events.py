"""What the gateway must know of a stream of server-sent events, learned by searching bytes, not decoding.

Only whole events leave `EventTap`, so that an error event can always follow. Every quote and line end inside
a JSON string is escaped on the wire: no text of a model can look like a pattern that holds a quote, or that
stands at the beginning of a line.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway import usage

if TYPE_CHECKING:
    from lmaas_gateway.call import Dialect, Usage

_MAX_EVENT_BYTES = 4 * 2**20
# Of a chunk that holds one event: the empty line and its own line end.
_CHUNK_END = b"\n\n\r\n"
_QUOTE, _LINE_FEED = b'"\n'
# What stands around the text changes seldom, as from reasoning to content, or with each event.
_MAX_LESSONS = 8
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_AFTER_EVENT = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)")
_AFTER_VALUE = frozenset({b"", b" ", b"\n", b"\r"})
_LINE = rb"(?<![^\r\n])"
_ERROR_EVENT = re.compile(_LINE + rb'(?:data: ?\{ ?"error"|data: ?\{ ?"object": ?"error"|event: ?error\b)')
_DONE_EVENT = re.compile(_LINE + rb"data: ?\[DONE\]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIELD_LINE = re.compile(_LINE + rb"[^:\r\n]")
_USAGE_OBJECT = re.compile(rb'"usage": ?\{')
_INDEX = re.compile(rb'"index": ?(\d{1,9})')
_NO_CHOICES = re.compile(rb'"choices": ?\[\]')


@dataclass(frozen=True, slots=True)
class _Grammar:
    """How a dialect ends.

    Attributes:
        finish: Stands once for each finished choice; None where only the terminal event tells.
        token: Stands once in each event that brings text; a replica sends about one a token.
        terminals: What can stand in the line that begins the last event.
        field: What stands before it in that line.
    """

    finish: bytes | None
    token: bytes
    terminals: tuple[bytes, ...]
    field: bytes


_GRAMMARS: dict[Dialect, _Grammar] = {
    "chat": _Grammar(b'"finish_reason":"', b'"choices":[{', (b"[DONE]",), b"data:"),
    "responses": _Grammar(
        None,
        b".delta\n",
        (b"response.completed", b"response.incomplete", b"response.failed"),
        b"event:",
    ),
    "messages": _Grammar(b'"stop_reason":"', b"event: content_block_delta", (b"message_stop",), b"event:"),
}


class EventTap:
    """Watches one stream: takes bytes as they come, gives whole events to forward.

    Args:
        dialect: The stream's wire format.
        choices: How many finish reasons make the stream whole.
        is_usage_hidden: Leave out the usage event, which the client did not ask for.
        max_tokens: More events with text than this break the stream.

    Attributes:
        tokens: How many events with text have come.
        finished: The choices that are finished, where there are several.
        is_held: More text has come than may be passed on for now; it is kept until `pass_up_to` allows more.
        is_complete: The terminal event has come, after all finish reasons.
        is_broken: The replica reported an error, or ended the stream although choices were unfinished.
    """

    __slots__ = (
        "_choices",
        "_finish",
        "_finishes",
        "_first_usage",
        "_grammar",
        "_head",
        "_head_bytes",
        "_is_spacing_known",
        "_is_usage_hidden",
        "_last_usage",
        "_lessons",
        "_max_tokens",
        "_most_tokens",
        "_pending",
        "_tail",
        "_tail_bytes",
        "_token",
        "finished",
        "is_broken",
        "is_complete",
        "is_held",
        "tokens",
    )

    def __init__(
        self, dialect: Dialect, *, choices: int, is_usage_hidden: bool, max_tokens: float = math.inf
    ) -> None:
        grammar = self._grammar = _GRAMMARS[dialect]
        self._token = grammar.token
        self._max_tokens = self._most_tokens = max_tokens
        self.tokens = 0
        self._finish = grammar.finish
        self._choices = choices if grammar.finish else 0
        self._is_usage_hidden = is_usage_hidden
        self._finishes = 0
        self._pending = b""
        self._is_spacing_known = False
        # Around the text of the events that come alone; not known yet.
        self._head = self._tail = b""
        self._head_bytes, self._tail_bytes = sys.maxsize, 0
        self._lessons = 0
        self._first_usage = b""
        self._last_usage = b""
        self.finished: set[int] = set()
        self.is_complete = self.is_broken = self.is_held = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give the whole events to forward, maybe none."""
        # Nearly all data is token events, which leave after these searches. `rfind` is the fastest of them.
        if self._pending:
            data, self._pending = self._pending + data, b""
        if not data.endswith(b"\n\n"):
            data = self._hold_tail(data)
        if not self._is_spacing_known:
            self._note_spacing(data)
        self.tokens += data.count(self._token)
        if self.tokens > self._most_tokens:
            data = self._hold_surplus(data)
        if data.rfind(b"error") >= 0:
            data = self._cut_error(data)
        if self._finish is not None and data.rfind(self._finish) >= 0:
            self._note_finishes(data, self._finish)
        if data.rfind(b'"usage"') >= 0:
            data = self._note_usage(data)
        for terminal in self._grammar.terminals:
            if data.rfind(terminal) >= 0:
                data = self._close(data, terminal)
        return data

    def pass_on(self, chunk: bytes, begin: int) -> bool:
        """Count an event with text that came alone, and may pass; tell whether it is that.

        Args:
            chunk: The event as one chunk of HTTP: between its size and a line end.
            begin: Where the event begins.
        """
        if self._pending or self.tokens >= self._most_tokens:
            return False
        text_at, text_ends = begin + self._head_bytes, len(chunk) - self._tail_bytes
        if text_at <= text_ends and chunk[begin:text_at] == self._head and chunk[text_ends:] == self._tail:
            # The same event as one that was looked into, but for its text: nothing else can be in it.
            text = chunk[text_at:text_ends]
            if _QUOTE not in text and _LINE_FEED not in text:
                self.tokens += 1
                return True
        if not self._is_lone_token(chunk):
            return False
        if self._lessons < _MAX_LESSONS:
            self._learn(chunk, begin)
        self.tokens += 1
        return True

    def _is_lone_token(self, chunk: bytes) -> bool:
        """Look into an event. One with text ends no stream, and reports no error; it can finish a choice."""
        return (
            chunk.rfind(self._token) >= 0
            and chunk.find(_CHUNK_END[:2]) == len(chunk) - len(_CHUNK_END)
            and chunk.endswith(_CHUNK_END)
            and (self._finish is None or chunk.rfind(self._finish) < 0)
            and chunk.rfind(b'"usage"') < 0
            and self._is_spacing_known
        )

    def _learn(self, chunk: bytes, begin: int) -> None:
        """Take note of what stands before and behind the last string of an event, which is its text."""
        self._lessons += 1
        mark = b'":"' if chunk.rfind(b'": "') < 0 else b'": "'
        text_at = chunk.rfind(mark) + len(mark)
        text_ends = chunk.find(b'"', text_at)
        head = chunk[begin:text_at]
        if head.rfind(self._token) >= 0:
            self._head, self._tail = head, chunk[text_ends:]
            self._head_bytes, self._tail_bytes = len(head), len(self._tail)

    def pass_up_to(self, tokens: float) -> bytes:
        """Let so many events with text through in all; give those that were held and may go."""
        self._most_tokens = min(tokens, self._max_tokens)
        self.is_held = False
        return self.feed(b"")

    def usage(self) -> Usage | None:
        """The tokens of the whole stream, as far as it has told."""
        return usage.merge(usage.find_first(self._first_usage), usage.find(self._last_usage))

    def engine_us(self) -> tuple[int, int, int] | None:
        """Queue, prefill and decode in microseconds as the engine measured them, where it told."""
        return usage.find_times_us(self._last_usage)

    def _note_spacing(self, data: bytes) -> None:
        """See at the first event that has an id whether the replica puts a space after each colon."""
        self._is_spacing_known = b'"id":' in data
        if self._finish is not None and b'"id": ' in data:
            self._finish = self._finish.replace(b":", b": ")
            self._token = self._token.replace(b'":', b'": ')
        if self._token in data:
            # A chat opens each choice with an event without text.
            self.tokens -= data.count(b'"role"')

    def _hold_tail(self, data: bytes) -> bytes:
        """Keep what follows the last whole event."""
        end = _end_of_events(data, len(data))
        self._pending = data[end:]
        if len(self._pending) > _MAX_EVENT_BYTES:
            self.is_broken = True
        return data[:end]

    def _hold_surplus(self, data: bytes) -> bytes:
        """Keep the events with text that are too many, and what follows them."""
        if self.tokens > self._max_tokens:
            self.is_broken = True
            return data
        at = len(data)
        for _ in range(self.tokens - int(self._most_tokens)):
            at = data.rfind(self._token, 0, at)
        end = _end_of_events(data, at)
        self._pending = data[end:] + self._pending
        self.is_held = True
        return self._cut(data, end)

    def _note_finishes(self, data: bytes, finish: bytes) -> None:
        self._finishes += data.count(finish)
        if self._choices > 1:
            for event in _AFTER_EVENT.split(data):
                if finish in event and (match := _INDEX.search(event)) is not None:
                    self.finished.add(int(match[1]))

    def _cut_error(self, data: bytes) -> bytes:
        match = _ERROR_EVENT.search(data)
        if match is None:
            return data
        self.is_broken = True
        return self._cut(data, match.start())

    def _note_usage(self, data: bytes) -> bytes:
        match = _USAGE_OBJECT.search(data)
        if match is None:
            return data
        # Of much that came at once usage is mostly the end.
        start = _end_of_events(data, match.start())
        told = data[start:]
        self._first_usage = self._first_usage or told
        self._last_usage = told
        if not self._is_usage_hidden:
            return data
        return data[:start] + b"".join(
            event for event in _AFTER_EVENT.split(told) if not _is_usage_event(event)
        )

    def _cut(self, data: bytes, end: int) -> bytes:
        self.tokens -= data.count(self._token, end)
        return data[:end]

    def _close(self, data: bytes, terminal: bytes) -> bytes:
        start = _find_line(data, self._grammar.field, terminal)
        if start < 0:
            return data
        if self._finishes >= self._choices and not self.is_broken:
            self.is_complete = True
            return data
        self.is_broken = True
        return self._cut(data, start)


def _end_of_events(data: bytes, end: int) -> int:
    """Tell where the last whole event before `end` ends."""
    return max((at + len(mark) for mark in _EVENT_ENDS if (at := data.rfind(mark, 0, end)) >= 0), default=0)


def _find_line(data: bytes, field: bytes, value: bytes) -> int:
    """Tell where the first line begins that is this field with this value; -1 if there is none.

    A pattern that looks back for the line's beginning would do so at every byte.
    """
    at = data.find(value)
    while at >= 0:
        start = max(data.rfind(b"\n", 0, at), data.rfind(b"\r", 0, at)) + 1
        before, after = data[start:at], data[at + len(value) : at + len(value) + 1]
        if before in {field, field + b" "} and after in _AFTER_VALUE:
            return start
        at = data.find(value, at + 1)
    return -1


def first(data: bytes) -> bytes | None:
    """Give the first whole event in `data` that is more than a comment; None if there is none yet."""
    end = data.find(b"\n\n")
    if end >= 0 and data.startswith((b"data:", b"event:")):
        return data[:end]
    for event in _AFTER_EVENT.split(data.removeprefix(_BYTE_ORDER_MARK))[:-1]:
        if _FIELD_LINE.search(event) is not None:
            return event
    return None


def is_error(event: bytes) -> bool:
    """Tell whether one event reports an error, in any of the dialects that replicas have for it."""
    return event.rfind(b"error") >= 0 and _ERROR_EVENT.search(event) is not None


def is_done(event: bytes) -> bool:
    """Tell whether one event is `[DONE]`."""
    return event.rfind(b"[DONE]") >= 0 and _DONE_EVENT.search(event) is not None


def _is_usage_event(event: bytes) -> bool:
    return _NO_CHOICES.search(event) is not None and _USAGE_OBJECT.search(event) is not None
