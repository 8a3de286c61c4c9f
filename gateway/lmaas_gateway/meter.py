"""The record of one call: each stage notes in it what it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from lmaas_gateway.call import Principal, Usage
    from lmaas_gateway.entries import Entry
    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.notes import Choice, Failure, Fallback, Wait
    from lmaas_gateway.trace_context import Trace

Outcome = Literal["ok", "error", "interrupted", "client_gone", "limited"]
Source = Literal["", "miss", "hit", "coalesced", "replayed"]
"""Where a reply comes from, if a store was asked: `hit`, `coalesced` and `replayed` cost no tokens."""

# nginx's code for a client that left before the answer; it is never sent.
CLIENT_GONE_STATUS = 499


class OpenCall(Protocol):
    """Where it is kept what a call in flight has been given, should this process die under it."""

    def note_tokens(self, tokens: int) -> None:
        """Take note of how many tokens, in all, the client is about to have been given."""
        ...

    def note_usage(self, usage: Usage) -> None:
        """Take note of the tokens that the replica counted, before the reply's last bytes go out."""
        ...

    def note_busy(self, busy_ns: int) -> None:
        """Take note of its share of its replica's time so far."""
        ...

    def rewrite(self, entry: bytes) -> None:
        """Put another entry in."""
        ...

    def free(self) -> None:
        """Forget the call: it is written down elsewhere."""
        ...


class Share(Protocol):
    """A call's part of a replica's time.

    Attributes:
        busy_ns: Nanoseconds, once the call has left the replica.
    """

    busy_ns: int


class Clocked(Protocol):
    """A replica, whose time is shared out to its calls."""

    def look(self) -> int:
        """Give the reading of its busy clock; the difference of two is one call's part, in nanoseconds."""
        ...


class Meter:
    """What is learned of one call on its way.

    Args:
        request_id: The call's.
        route: Its public path.
        clock: Monotonic seconds.
        tells_timing: Whether the head of its reply says where the time went.

    Attributes:
        caller: Who calls, once that is known.
        entry: The call in the books, once it is there.
        open_call: Where the books keep track of it while it is in flight.
        share: Its part of the time of the replica that answered.
        stay: The replica that works on it now, and the reading of its clock when the call came there.
        task: Serves it, to be cancelled where the call must end.
        status: What the client was told; 0 until it is.
        code: The error's, if there is one.
        param: The field that the error is about, if the gateway itself refused one.
        choice: How its replica was chosen, if there were several.
        sent_s: Seconds from its arrival until it went to a replica, the last one tried; 0 if to none.
        beside: How many calls that replica had from this process already.
        applied: What was done to it on its way; the bits of `notes.py`.
        wait: What stood before it, if it had to wait for its turn.
        failures: Attempts at replicas that failed.
        fallbacks: Models that could not serve it.
        engine_us: Queue, prefill and decode in microseconds as the engine measured them, where it told.
        cache: Whether the reply comes from a store; empty where none was asked.
        is_whole: Whether a stream has been given to its last event; a client that leaves then lacks nothing.
        is_sent: Whether the call has been sent to a replica, past every queue.
        attempts: How many replicas were asked.
        prompt_tokens: Of its prompt, where they were counted here; else 0.
        queued_s: How long the call waited for its turn.
        cost_nanos: What it cost, once it has ended and somebody has asked.
        trace: The ids of its spans, if it is traced.
        verdict: Why the call is ended from outside, by cancelling its task, if it is.
        reply_headers: What stages add to the head of the reply, whatever it will be; names in lower case.
    """

    __slots__ = (
        "_clock",
        "_first_byte_s",
        "_started",
        "applied",
        "attempts",
        "beside",
        "cache",
        "caller",
        "choice",
        "code",
        "cost_nanos",
        "engine_us",
        "entry",
        "failures",
        "fallbacks",
        "is_sent",
        "is_stream",
        "is_whole",
        "model",
        "open_call",
        "outcome",
        "param",
        "principal",
        "prompt_tokens",
        "queued_s",
        "replica",
        "reply_headers",
        "request_id",
        "route",
        "sent_s",
        "share",
        "status",
        "stay",
        "task",
        "tells_timing",
        "trace",
        "usage",
        "verdict",
        "wait",
    )

    def __init__(
        self, request_id: str, route: str, clock: Callable[[], float], *, tells_timing: bool = False
    ) -> None:
        self._clock = clock
        self._started = clock()
        self._first_byte_s = self.sent_s = 0.0
        self.tells_timing = tells_timing
        self.request_id = request_id
        self.route = route
        self.principal = self.model = self.replica = self.code = self.param = ""
        self.reply_headers: list[tuple[bytes, bytes]] = []
        self.is_stream = self.is_sent = self.is_whole = False
        self.caller: Principal | None = None
        self.entry: Entry | None = None
        self.open_call: OpenCall | None = None
        self.share: Share | None = None
        self.stay: tuple[Clocked, int] | None = None
        self.attempts = self.prompt_tokens = self.beside = self.applied = 0
        self.choice: Choice[Any] | None = None
        self.wait: Wait | None = None
        self.failures: list[Failure] | None = None
        self.fallbacks: list[Fallback] | None = None
        self.engine_us: tuple[int, int, int] | None = None
        self.status = 0
        self.outcome: Outcome = "ok"
        self.cache: Source = ""
        self.queued_s = 0.0
        self.usage: Usage | None = None
        self.cost_nanos: int | None = None
        self.verdict: GatewayError | None = None
        self.task: asyncio.Task[None] | None = None
        self.trace: Trace | None = None

    def cut(self, verdict: GatewayError | None = None) -> None:
        """End the call from outside, with this error or because its client left."""
        if verdict is not None:
            self.verdict = verdict
        if self.task is not None:
            self.task.cancel()

    @property
    def busy_ns(self) -> int:
        """The call's part of the time of the replica that answered, in nanoseconds."""
        return 0 if self.share is None else self.share.busy_ns

    def see_sent(self, beside: int) -> None:
        """Note the time: the call goes to a replica, which has so many of this process's already."""
        self.sent_s = self._clock() - self._started
        self.beside = beside

    def see_first_byte(self) -> None:
        """Note the time: the reply's body begins."""
        self._first_byte_s = self._clock() - self._started

    def duration_s(self) -> float:
        """Seconds since the call arrived."""
        return self._clock() - self._started

    def first_byte_s(self) -> float:
        """Seconds from the call's arrival to the beginning of the reply's body; 0 if it has not begun."""
        return self._first_byte_s
