"""A reply that is recorded while it passes, and the same reply played back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from lmaas_gateway.call import Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from lmaas_gateway.meter import Meter
    from lmaas_gateway.reply import Outlet, Reply


_BLOCK_BYTES = 16 * 1024
# Which model answered stays true of a reply that is given again.
_OF_THE_REPLY = frozenset({b"x-lmaas-model"})


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """A whole reply with status 200.

    Attributes:
        usage: What it cost when it was made; giving it again costs nothing.
        headers: Those of its headers that tell about the reply, not about the call.
    """

    content_type: bytes
    is_stream: bool
    body: bytes
    usage: Usage | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Room:
    """What may be held of all replies under way, in bytes."""

    __slots__ = ("free_bytes",)

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes


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
        """Take note that the reply will not come, though the call goes on: it is too long to be held."""


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

    async def read(self, outlet: Outlet | None = None) -> bytes:  # noqa: ARG002  # there is nothing to write
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
        room: Where there is none left, replies pass without being recorded.
    """

    __slots__ = (
        "_held",
        "_is_usage_noted",
        "_keepers",
        "_left_bytes",
        "_max_bytes",
        "_meter",
        "_parts",
        "_pending",
        "_reply",
        "_reserved_bytes",
        "_room",
        "content_length",
        "content_type",
        "is_over",
        "is_stream",
        "status",
    )

    def __init__(self, reply: Reply, keepers: Sequence[Keeper], meter: Meter, room: Room) -> None:
        self._reply = reply
        self._room = room
        self._keepers = keepers
        self._meter = meter
        self._max_bytes = max(keeper.max_entry_bytes for keeper in keepers)
        self._reserved_bytes = self._left_bytes = 0
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
        self._parts: list[bytes] | None = []
        if not is_wanted:
            self._forgo()

    def begin(self) -> bytes:
        """Give the first bytes, without waiting; none if their end must wait for a keeper."""
        data = self._reply.begin()
        self._record(data)
        if not self._has_ended():
            return data
        self._finish()
        if self._pending:
            self._held = data
            return b""
        self.is_over = self._reply.is_over
        return data

    async def read(self, outlet: Outlet | None = None) -> bytes:  # noqa: ARG002  # all must pass here
        """Give the next bytes; none at the end."""
        if self._pending:
            data, self._held = self._held, b""
        else:
            data = await self._reply.read()
            self._record(data)
            if not self._has_ended():
                return data
            self._finish()
        pending, self._pending = self._pending, []
        for kept in pending:
            await kept
        self.is_over = self._reply.is_over
        return data

    def note_usage(self) -> None:
        """Take note of the tokens that the reply told of, as far as it came."""
        if not self._is_usage_noted:
            self._is_usage_noted = True
            self._reply.note_usage()

    def close(self) -> None:
        """Give back the room of what was recorded."""
        self._parts = None
        self._room.free_bytes += self._reserved_bytes
        self._reserved_bytes = self._left_bytes = 0

    def _has_ended(self) -> bool:
        """Tell whether all of it is here; clients of a stream may leave at its last event."""
        return self._reply.is_over or self._meter.is_whole

    def _record(self, data: bytes) -> None:
        if self._parts is not None:
            self._parts.append(data)
            self._left_bytes -= len(data)
            if self._left_bytes < 0:
                self._reserve()

    def _reserve(self) -> None:
        """Take more room, so much at a time that most events need not ask for it."""
        wanted_bytes = max(min(_BLOCK_BYTES, self._max_bytes), -self._left_bytes)
        is_too_long = self._reserved_bytes - self._left_bytes > self._max_bytes
        if is_too_long or wanted_bytes > self._room.free_bytes:
            self._forgo()
            return
        self._room.free_bytes -= wanted_bytes
        self._reserved_bytes += wanted_bytes
        self._left_bytes += wanted_bytes

    def _finish(self) -> None:
        if self._parts is None or self._meter.outcome != "ok":
            return
        body = b"".join(self._parts)
        if len(body) > self._max_bytes:
            self._forgo()
            return
        self.close()
        self.note_usage()
        headers = tuple(header for header in self._meter.reply_headers if header[0] in _OF_THE_REPLY)
        recorded = Recorded(self.content_type, self.is_stream, body, self._meter.usage, headers)
        for keeper in self._keepers:
            pending = keeper.keep(recorded)
            if pending is not None:
                self._pending.append(pending)

    def _forgo(self) -> None:
        self.close()
        for keeper in self._keepers:
            keeper.forgo()
