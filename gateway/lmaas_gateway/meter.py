"""The record of one call: each stage notes in it what it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from lmaas_gateway.call import Principal, Usage
    from lmaas_gateway.entries import Entry
    from lmaas_gateway.errors import GatewayError

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

    Attributes:
        caller: Who calls, once that is known.
        entry: The call in the books, once it is there.
        open_call: Where the books keep track of it while it is in flight.
        share: Its part of the time of the replica that answered.
        stay: The replica that works on it now, and the reading of its clock when the call came there.
        task: Serves it, to be cancelled where the call must end.
        status: What the client was told; 0 until it is.
        code: The error's, if there is one.
        cache: Whether the reply comes from a store; empty where none was asked.
        is_whole: Whether a stream has been given to its last event; a client that leaves then lacks nothing.
        is_sent: Whether the call has been sent to a replica, past every queue.
        attempts: How many replicas were asked.
        prompt_tokens: Of its prompt, where they were counted here; else 0.
        queued_s: How long the call waited for its turn.
        verdict: Why the call is ended from outside, by cancelling its task, if it is.
        reply_headers: What stages add to the head of the reply, whatever it will be; names in lower case.
    """

    __slots__ = (
        "_clock",
        "_first_byte",
        "_started",
        "attempts",
        "cache",
        "caller",
        "code",
        "entry",
        "is_sent",
        "is_stream",
        "is_whole",
        "model",
        "open_call",
        "outcome",
        "principal",
        "prompt_tokens",
        "queued_s",
        "replica",
        "reply_headers",
        "request_id",
        "route",
        "share",
        "status",
        "stay",
        "task",
        "usage",
        "verdict",
    )

    def __init__(self, request_id: str, route: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._first_byte = 0.0
        self.request_id = request_id
        self.route = route
        self.principal = self.model = self.replica = self.code = ""
        self.reply_headers: list[tuple[bytes, bytes]] = []
        self.is_stream = self.is_sent = self.is_whole = False
        self.caller: Principal | None = None
        self.entry: Entry | None = None
        self.open_call: OpenCall | None = None
        self.share: Share | None = None
        self.stay: tuple[Clocked, int] | None = None
        self.attempts = self.prompt_tokens = 0
        self.status = 0
        self.outcome: Outcome = "ok"
        self.cache: Source = ""
        self.queued_s = 0.0
        self.usage: Usage | None = None
        self.verdict: GatewayError | None = None
        self.task: asyncio.Task[None] | None = None

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

    def see_first_byte(self) -> None:
        """Note the time: the reply's body begins."""
        self._first_byte = self._clock()

    def duration_s(self) -> float:
        """Seconds since the call arrived."""
        return self._clock() - self._started

    def first_byte_s(self) -> float:
        """Seconds from the call's arrival to the beginning of the reply's body; 0 if it has not begun."""
        return self._first_byte - self._started if self._first_byte else 0.0
