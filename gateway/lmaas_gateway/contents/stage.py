"""The stage: let the reply of a call pass, and take along what passes if its project keeps contents."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lmaas_gateway.contents.archive import Exchange, Kept
from lmaas_gateway.reply import data_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.call import Call, Exits, Principal
    from lmaas_gateway.contents.writer import ContentWriter
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.reply import Outlet, Reply
    from lmaas_gateway.settings import ContentSettings


class Contents:
    """Keeps what was asked and answered.

    Args:
        writer: Takes it when the call has ended.
        name_of: Gives the id that a call has in the ledger.
        settings: How much of a call is kept.
        clock: Unix seconds.
    """

    def __init__(
        self,
        writer: ContentWriter,
        name_of: Callable[[Meter], str],
        settings: ContentSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._name_of = name_of
        self._max_bytes = settings.max_bytes
        self._clock = clock

    def keep(self, reply: Reply, call: Call, principal: Principal, *, meter: Meter, exits: Exits) -> Reply:
        """Have the reply kept when the call ends, however far it came by then."""
        kept = KeptReply(reply, self._max_bytes)

        def finish() -> None:
            exchange = kept.exchange(call.body)
            name, at = self._name_of(meter), int(self._clock() * 1e6)
            self._writer.put(Kept(name, principal.organization, principal.project, at, exchange))

        exits.append(finish)
        return kept


class KeptReply:
    """A reply whose bytes pass untouched, as many pieces at once as before, and are remembered.

    Args:
        reply: The reply that passes.
        max_bytes: How much is remembered.
    """

    __slots__ = (
        "_free_bytes",
        "_is_cut",
        "_max_bytes",
        "_parts",
        "_reply",
        "_tap",
        "content_length",
        "content_type",
        "is_stream",
        "status",
    )

    def __init__(self, reply: Reply, max_bytes: int) -> None:
        self._reply = reply
        self._parts: list[bytes] = []
        self._max_bytes = self._free_bytes = max_bytes
        self._is_cut = False
        self._tap: _Tap | None = None
        self.status = reply.status
        self.content_type = reply.content_type
        self.content_length = reply.content_length
        self.is_stream = reply.is_stream

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
            self._is_cut = True
        return data

    def exchange(self, request: bytes) -> Exchange:
        """Give what has passed, with what was asked."""
        return Exchange(
            request=request[: self._max_bytes],
            reply=b"".join(self._parts),
            is_stream=self.is_stream,
            is_cut=self._is_cut or len(request) > self._max_bytes,
        )


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
