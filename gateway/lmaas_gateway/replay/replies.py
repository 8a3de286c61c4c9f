"""A reply that is recorded while it passes, and the same reply played back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from lmaas_gateway.call import Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from lmaas_gateway.meter import Meter
    from lmaas_gateway.reply import Reply


class Recorded(msgspec.Struct, frozen=True):
    """A whole reply with status 200.

    Attributes:
        usage: What it cost when it was made; giving it again costs nothing.
    """

    content_type: bytes
    is_stream: bool
    body: bytes
    usage: Usage | None = None


class Keeper(Protocol):
    """Whoever wants a reply once it is whole.

    Attributes:
        max_entry_bytes: Longer bodies are not wanted.
    """

    @property
    def max_entry_bytes(self) -> int:
        """Longer bodies are not wanted."""

    def keep(self, recorded: Recorded) -> Awaitable[object] | None:
        """Take the whole reply; give what must be awaited before its end goes out, if anything must."""

    def forgo(self) -> None:
        """Take note that the reply will not come: it is too long. It may be none of ours to end the call."""


class StoredReply:
    """A recorded reply, given again: all of it at once, a stream too."""

    __slots__ = ("_body", "content_length", "content_type", "is_over", "is_stream")
    status = 200

    def __init__(self, recorded: Recorded) -> None:
        self._body = recorded.body
        self.content_type = recorded.content_type
        self.is_stream = recorded.is_stream
        self.content_length = None if recorded.is_stream else b"%d" % len(recorded.body)
        self.is_over = False

    def begin(self) -> bytes:
        """Give the whole body."""
        self.is_over = True
        return self._body

    async def read(self) -> bytes:
        """Give nothing more."""
        return b""

    def note_usage(self) -> None:
        """Take note of nothing: what is given again costs no tokens."""


class RecordedReply:
    """A reply whose bytes pass untouched and are handed to its keepers once they are whole.

    A keeper has the reply before the client has its end, so a client that saw the end finds it stored.

    Args:
        reply: The reply that passes.
        keepers: At least one.
        meter: Tells whether the reply came to a good end, and what it cost.
    """

    __slots__ = (
        "_held",
        "_is_usage_noted",
        "_keepers",
        "_max_bytes",
        "_meter",
        "_parts",
        "_pending",
        "_reply",
        "_size_bytes",
        "content_length",
        "content_type",
        "is_over",
        "is_stream",
        "status",
    )

    def __init__(self, reply: Reply, keepers: Sequence[Keeper], meter: Meter) -> None:
        self._reply = reply
        self._keepers = keepers
        self._meter = meter
        self._max_bytes = max(keeper.max_entry_bytes for keeper in keepers)
        self._size_bytes = 0
        self._pending: list[Awaitable[object]] = []
        self._held = b""
        self._is_usage_noted = False
        self.status = reply.status
        self.content_type = reply.content_type
        self.content_length = reply.content_length
        self.is_stream = reply.is_stream
        self.is_over = False
        # Without its length, a reply that is not a stream cannot be known to be whole.
        is_wanted = reply.status == 200 and (reply.is_stream or reply.content_length is not None)
        self._parts: list[bytes] | None = [] if is_wanted else None
        if not is_wanted:
            self._forgo()

    def begin(self) -> bytes:
        """Give the first bytes, without waiting; none if their end must wait for a keeper."""
        return self._pass(self._reply.begin())

    async def read(self) -> bytes:
        """Give the next bytes; none at the end."""
        if not self._pending:
            data = self._pass(await self._reply.read())
            if not self._pending:
                return data
        for pending in self._pending:
            await pending
        self.is_over = True
        return self._held

    def note_usage(self) -> None:
        """Take note of the tokens that the reply told of, as far as it came."""
        if not self._is_usage_noted:
            self._is_usage_noted = True
            self._reply.note_usage()

    def _pass(self, data: bytes) -> bytes:
        if self._parts is not None:
            self._parts.append(data)
            self._size_bytes += len(data)
            if self._size_bytes > self._max_bytes:
                self._parts = None
                self._forgo()
        if not self._reply.is_over:
            return data
        self._finish()
        if not self._pending:
            self.is_over = True
            return data
        self._held = data
        return b""

    def _finish(self) -> None:
        if self._parts is None or self._meter.outcome != "ok":
            return
        self.note_usage()
        body = b"".join(self._parts)
        self._parts = None
        recorded = Recorded(self.content_type, self.is_stream, body, self._meter.usage)
        for keeper in self._keepers:
            pending = keeper.keep(recorded)
            if pending is not None:
                self._pending.append(pending)

    def _forgo(self) -> None:
        for keeper in self._keepers:
            keeper.forgo()
