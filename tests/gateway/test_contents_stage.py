"""What passes to the client is what is kept, and it passes as it did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.contents.archive import Exchange
from lmaas_gateway.contents.stage import exchange_of
from lmaas_gateway.kept_reply import KeptReply
from lmaas_gateway.reply import data_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmaas_gateway.reply import Outlet


class Stream:
    """A reply of pieces; from the first `read` on it writes them to the outlet itself, while that is free."""

    status = 200
    content_type = b"text/event-stream"
    content_length: bytes | None = None
    is_stream = True

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = list(pieces)
        self.is_noted = False

    @property
    def is_over(self) -> bool:
        return not self._pieces

    def begin(self) -> bytes:
        return self._pieces.pop(0)

    async def read(self, outlet: Outlet | None = None) -> bytes:
        await asyncio.sleep(0)
        while outlet is not None and len(self._pieces) > 1 and outlet.is_free():
            piece = self._pieces.pop(0)
            if len(self._pieces) % 2:
                outlet.write(piece)
            else:
                outlet.write_chunk(b"%x\r\n%b\r\n" % (len(piece), piece))
        return self._pieces.pop(0) if self._pieces else b""

    def note_usage(self) -> None:
        self.is_noted = True


class Taken:
    """The client's side of an outlet."""

    def __init__(self, free_for: int = 10**9) -> None:
        self.pieces: list[bytes] = []
        self._free_for = free_for

    def is_free(self) -> bool:
        return len(self.pieces) < self._free_for

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def write_chunk(self, chunk: bytes) -> None:
        self.pieces.append(data_of(chunk))


async def passed(reply: KeptReply, outlet: Taken) -> bytes:
    """Read a reply as the endpoint does; give what came to the client."""
    got = [reply.begin()]
    while not reply.is_over:
        data = await reply.read(outlet)
        got += outlet.pieces
        outlet.pieces.clear()
        got.append(data)
    return b"".join(got)


PIECES = [b"data: %d\n\n" % number for number in range(20)]
WHOLE = b"".join(PIECES)


@pytest.mark.parametrize("free_for", [0, 1, 10**9])
async def test_what_passes_is_what_is_kept_whichever_way_it_goes(free_for: int) -> None:
    reply = KeptReply(Stream(PIECES), 2**20)
    assert await passed(reply, Taken(free_for)) == WHOLE
    assert exchange_of(reply, b"{}", 2**20) == Exchange(b"{}", WHOLE, is_stream=True, is_cut=False)


async def test_events_still_go_past_the_task() -> None:
    stream = Stream(PIECES)
    reply = KeptReply(stream, 2**20)
    reply.begin()
    outlet = Taken()
    assert await reply.read(outlet) == PIECES[-1]
    assert outlet.pieces == PIECES[1:-1]
    assert reply.is_over


async def test_reply_without_an_outlet_passes_too() -> None:
    reply = KeptReply(Stream(PIECES[:2]), 2**20)
    assert reply.begin() + await reply.read() == WHOLE[: 2 * len(PIECES[0])]


@pytest.mark.parametrize("max_bytes", [0, 1, 15, len(WHOLE) - 1])
async def test_long_reply_is_cut_where_it_is_kept_and_nowhere_else(max_bytes: int) -> None:
    reply = KeptReply(Stream(PIECES), max_bytes)
    assert await passed(reply, Taken()) == WHOLE
    exchange = exchange_of(reply, b"", max_bytes)
    assert (exchange.reply, exchange.is_cut) == (WHOLE[:max_bytes], True)


async def test_long_request_is_cut_where_it_is_kept() -> None:
    exchange = exchange_of(KeptReply(Stream([b""]), 4), b"12345", 4)
    assert (exchange.request, exchange.is_cut) == (b"1234", True)
