"""What a fake replica does with one call: a frozen `Script`, given in process or with the call itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from lmaas_gateway.testing.wire import Request

SCRIPT_HEADER = "x-fake-script"
SCRIPT_FIELD = "fake"


class Ending(StrEnum):
    """How a stream ends when the connection itself holds."""

    COMPLETE = "complete"
    """Finish reasons, usage if asked for, terminal event."""
    NO_FINISH_REASON = "no_finish_reason"
    """The terminal event, but no finish reason before it."""
    NO_TERMINAL_EVENT = "no_terminal_event"
    """Finish reasons and a well-formed end of the body, without `[DONE]` or its like."""
    EOF = "eof"
    """A well-formed end of the body right after the last token."""
    ENGINE_ERROR = "engine_error"
    """What a dying engine core sends: an error event, then `[DONE]`."""


class Fault(StrEnum):
    """How a connection breaks."""

    CLOSE = "close"
    """An orderly FIN."""
    RESET = "reset"
    """A TCP RST; on a unix socket the same as `CLOSE`."""
    HANG = "hang"
    """Nothing more is sent; the connection stays until the client leaves."""


class Point(StrEnum):
    """Where in a reply a fault strikes."""

    BEFORE_HEADERS = "before_headers"
    AFTER_HEADERS = "after_headers"
    AFTER_EVENTS = "after_events"
    """After `fault_events` whole events."""
    INSIDE_EVENT = "inside_event"
    """In the middle of the event that follows `fault_events` whole ones."""


class Framing(StrEnum):
    """How the length of a body is told."""

    AUTO = "auto"
    """As vLLM does: chunked for streams, a length for the rest."""
    CHUNKED = "chunked"
    LENGTH = "length"
    EOF = "eof"
    """The end of the connection ends the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One call's fate; the default is a prompt, complete and correct reply.

    Events are counted from the first one of a stream, an opening one without text included; a plain body
    counts as one event.

    Attributes:
        headers_delay_s: Seconds before the status line.
        first_token_delay_s: Seconds between the headers and the first event.
        token_gap_s: Seconds between two tokens of a stream.
        tokens: How many tokens are generated; None takes what the call asks for, or 16.
        text: What they say, word by word and again from the start; None echoes the last user message.
        huge_token_bytes: Length of the first token, if it is to be huge.
        status: HTTP status; other than 200 the body is an error of OpenAI's shape unless `body` is set.
        body: The body, as it is; together with `events` it is an error to set it.
        events: The events of a stream, as they are (`data: …` and a blank line each).
        headers: Further reply headers; they replace the usual ones of the same name.
        ending: How a stream ends.
        fault: How the connection breaks, if it does.
        fault_at: Where it breaks.
        fault_events: Whole events before that.
        raw: Bytes (latin-1) sent in place of an HTTP reply, before an orderly close.
        slice_bytes: Bytes per write; 0 writes each event at once.
        framing: How the body's length is told.
        content_length_error: Added to the true length; the connection closes after the body.
        close: Send `connection: close`, and do so.
        close_idle_after_s: Close the kept connection this long after the reply, without a word.
    """

    headers_delay_s: float = 0.0
    first_token_delay_s: float = 0.0
    token_gap_s: float = 0.0
    tokens: int | None = None
    text: str | None = None
    huge_token_bytes: int = 0
    status: int = 200
    body: str | None = None
    events: tuple[str, ...] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    ending: Ending = Ending.COMPLETE
    fault: Fault | None = None
    fault_at: Point = Point.BEFORE_HEADERS
    fault_events: int = 0
    raw: str | None = None
    slice_bytes: int = 0
    framing: Framing = Framing.AUTO
    content_length_error: int = 0
    close: bool = False
    close_idle_after_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse a script that cannot be played."""
        if self.body is not None and self.events is not None:
            message = "a script has either `body` or `events`, not both"
            raise ValueError(message)

    @classmethod
    def from_mapping(cls, mapping: object) -> Script:
        """Read a script out of decoded JSON.

        Raises:
            ValueError: an unknown field, or a value of the wrong type.
        """
        known = set(cls.__dataclass_fields__)
        if not isinstance(mapping, dict) or not known.issuperset(mapping):
            message = f"a script is an object with fields out of: {', '.join(sorted(known))}"
            raise ValueError(message)
        try:
            return msgspec.convert(mapping, cls)
        except msgspec.ValidationError as error:
            message = f"the script is not valid: {error}"
            raise ValueError(message) from error

    def fault_due(self, point: Point, events: int | None = None) -> Fault | None:
        """Return the fault that strikes at `point`, `events` whole events into the body, if one does."""
        return self.fault if self.fault_at is point and events in {None, self.fault_events} else None


def script_of(request: Request) -> Script | None:
    """Return the script that a call brings along: in its header, or in its body's field `fake`.

    Raises:
        ValueError: it brings one that is not valid.
    """
    if (header := request.headers.get(SCRIPT_HEADER)) is not None:
        return Script.from_mapping(_decoded(header.encode()))
    field = request.fields.get(SCRIPT_FIELD)
    return None if field is None else Script.from_mapping(field)


def _decoded(text: bytes) -> object:
    try:
        value: object = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        message = f"the script is not JSON: {error}"
        raise ValueError(message) from error
    return value
