"""What there is to tell of a call once it has ended, for logging, telemetry and the tally of cost.

A watch begins with the call and ends with its reply, or with its stream: read to the end, broken or given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from lmaas._cost import TokenCounts
from lmaas._reply import ReplyHead
from lmaas._request import Request
from lmaas._timer import Clock
from lmaas.errors import APIError

if TYPE_CHECKING:
    from lmaas._streaming import Reader

T = TypeVar("T")


@dataclass(slots=True)
class CallRecord:
    """A call. What comes of it is filled in as it comes; the body of neither side is held.

    Attributes:
        request: As it was first sent.
        params: What the caller gave, content included: to choose from, not to keep.
        is_stream: Whether the reply is a stream.
        duration_s: From the call to its end.
        first_item_s: From the call to the first item of its stream.
        tries: How many times the call was sent.
        status_code: The HTTP status, of the error too.
        request_id: The server's name for the call.
        response_id: The id of the object that came back.
        response_model: The model that the server names.
        finish_reasons: By the index of the choice.
        tokens: None where the server told none.
        error: What ended the call badly.
        is_whole: Whether all of the reply was read.
    """

    request: Request
    params: Mapping[str, Any] = field(repr=False)
    is_stream: bool
    duration_s: float = 0.0
    first_item_s: float | None = None
    tries: int = 1
    status_code: int | None = None
    request_id: str | None = None
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: dict[int, str] = field(default_factory=dict)
    tokens: TokenCounts | None = None
    error: BaseException | None = None
    is_whole: bool = False

    @property
    def model(self) -> str | None:
        """The model that was asked for."""
        model = self.params.get("model")
        return model if isinstance(model, str) else None


End: TypeAlias = Callable[[], None]
"""Called when the call of a record has ended."""


class Observer(Protocol):
    """Hears of calls."""

    def begin(self, record: CallRecord) -> End:
        """Take note that a call begins, and return what to call at its end. May change `record.request`."""
        ...


class Watcher:
    """Watches the calls of a client for its observers."""

    def __init__(self, observers: Sequence[Observer], clock: Clock) -> None:
        self._observers = observers
        self._clock = clock

    @contextmanager
    def watch(
        self, request: Request, params: Mapping[str, Any], *, is_stream: bool = False
    ) -> Iterator[Watch]:
        """Watch the call that is made within: until its end, or that of the stream that it follows."""
        watch = Watch(CallRecord(request, params, is_stream), self._observers, self._clock)
        try:
            yield watch
        except BaseException as error:
            watch.end(error)
            raise
        if not watch.is_following:
            watch.end()


class Watch:
    """The watch over one call."""

    def __init__(self, record: CallRecord, observers: Sequence[Observer], clock: Clock) -> None:
        self._record = record
        self._clock = clock
        self._began_at = clock()
        self._ends = [observer.begin(record) for observer in observers]
        self.is_following = False

    @property
    def request(self) -> Request:
        """The request to send."""
        return self._record.request

    def saw(self, reply: ReplyHead, value: T) -> T:
        """Take note of the whole reply `value`, and return it."""
        self._head(reply)
        self._note(value)
        self._record.is_whole = True
        return value

    def follow(self, reply: ReplyHead, reader: Reader[T]) -> Reader[T]:
        """Return `reader` so that the items of the stream are seen, until `reply` is closed."""
        self.is_following = True
        self._head(reply)
        watched = WatchedReader(reader, self)
        reply.when_closed(lambda: self._close(reply, watched))
        return watched

    def item(self, item: Any) -> None:
        """Take note of an item of a stream."""
        if self._record.first_item_s is None:
            self._record.first_item_s = self._clock() - self._began_at
        self._note(item)

    def end(self, error: BaseException | None = None) -> None:
        """Take note of the end of the call, well or by `error`, and tell the observers."""
        record = self._record
        record.duration_s = self._clock() - self._began_at
        record.error = error
        if isinstance(error, APIError):
            record.tries = max(record.tries, error.tries)
            record.status_code = error.status_code or record.status_code
            record.request_id = error.request_id or record.request_id
        ends, self._ends = self._ends, []
        for end in ends:
            end()

    def _head(self, reply: ReplyHead) -> None:
        self._record.tries = reply.tries
        self._record.status_code = reply.status_code
        self._record.request_id = reply.request_id

    def _close(self, reply: ReplyHead, reader: WatchedReader[Any]) -> None:
        self._record.is_whole = reader.is_done
        self.end(reader.failure or reply.failure)

    def _note(self, value: Any) -> None:
        # Event streams of /v1/responses hold the object of the call in some of their events.
        value = getattr(value, "response", None) or value
        record = self._record
        if record.response_id is None:
            record.response_id = getattr(value, "id", None)
            record.response_model = getattr(value, "model", None)
        usage = getattr(value, "usage", None)
        if usage is not None:
            record.tokens = TokenCounts.of(usage)
        for choice in getattr(value, "choices", None) or ():
            if choice.finish_reason is not None:
                record.finish_reasons[choice.index] = choice.finish_reason


class WatchedReader(Generic[T]):
    """Passes everything on to `reader`, and shows the watch what comes."""

    def __init__(self, reader: Reader[T], watch: Watch) -> None:
        self._reader = reader
        self._watch = watch
        self.failure: APIError | None = None

    @property
    def is_done(self) -> bool:
        return self._reader.is_done

    @property
    def events(self) -> int:
        return self._reader.events

    @property
    def partial_text(self) -> str:
        return self._reader.partial_text

    def feed(self, chunk: bytes) -> Iterator[T]:
        try:
            for item in self._reader.feed(chunk):
                self._watch.item(item)
                yield item
        except APIError as error:
            self.failure = error
            raise

    def finish(self) -> None:
        try:
            self._reader.finish()
        except APIError as error:
            self.failure = error
            raise
