"""A reply that is remembered while it passes, for what looks at it when its call has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.reply import data_of

if TYPE_CHECKING:
    from lmaas_gateway.reply import Outlet, Reply


class KeptReply:
    """A reply whose bytes pass untouched, as many pieces at once as before, and are remembered.

    Args:
        reply: The reply that passes.
        max_bytes: How much is remembered.

    Attributes:
        is_cut: Whether more has passed than is remembered.
    """

    __slots__ = (
        "_free_bytes",
        "_parts",
        "_reply",
        "_tap",
        "content_length",
        "content_type",
        "is_cut",
        "is_stream",
        "status",
    )

    def __init__(self, reply: Reply, max_bytes: int) -> None:
        self._reply = reply
        self._parts: list[bytes] = []
        self._free_bytes = max_bytes
        self.is_cut = False
        self._tap: _Tap | None = None
        self.status = reply.status
        self.content_type = reply.content_type
        self.content_length = reply.content_length
        self.is_stream = reply.is_stream

    @property
    def data(self) -> bytes:
        """What has passed, as far as it is remembered."""
        return b"".join(self._parts)

    @property
    def is_over(self) -> bool:
        """Whether `read` has given everything."""
        return self._reply.is_over

    def begin(self) -> bytes:
        """Give the first bytes, without waiting."""
        return self.remember(self._reply.begin())

    async def read(self, outlet: Outlet | None = None) -> bytes:
        """Give the next bytes; none at the end. What goes past, to the outlet, is remembered there."""
        if outlet is not None and self._tap is None:
            self._tap = _Tap(outlet, self)
        return self.remember(await self._reply.read(self._tap))

    def note_usage(self) -> None:
        """Take note of the tokens that the reply told of."""
        self._reply.note_usage()

    def remember(self, data: bytes) -> bytes:
        """Keep what still has room; give it on."""
        if self._free_bytes >= len(data):
            self._parts.append(data)
            self._free_bytes -= len(data)
        else:
            self._parts.append(data[: self._free_bytes])
            self._free_bytes = 0
            self.is_cut = True
        return data


class _Tap:
    """The outlet of a stream's events, as the reply sees it."""

    __slots__ = ("_reply", "_write", "_write_chunk", "is_free")

    def __init__(self, outlet: Outlet, reply: KeptReply) -> None:
        self._reply = reply
        self._write = outlet.write
        self._write_chunk = outlet.write_chunk
        self.is_free = outlet.is_free

    def write(self, data: bytes) -> None:
        """Write a piece, and remember it."""
        self._write(self._reply.remember(data))

    def write_chunk(self, chunk: bytes) -> None:
        """Write a piece that is a chunk already, and remember what is in it."""
        self._reply.remember(data_of(chunk))
        self._write_chunk(chunk)
