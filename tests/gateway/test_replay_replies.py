"""Recording a reply: bytes pass untouched, and only what is whole is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.call import Usage
from lmaas_gateway.meter import Meter
from lmaas_gateway.replay.replies import Recorded, RecordedReply, Room, StoredReply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from lmaas_gateway.reply import Outlet, Reply

USAGE = Usage(3, 4)


class Piecewise:
    """A reply of these pieces."""

    def __init__(
        self, pieces: Sequence[bytes], meter: Meter, *, is_stream: bool = False, status: int = 200
    ) -> None:
        self.pieces = list(pieces)
        self.meter = meter
        self.status = status
        self.content_type = b"text/plain"
        self.content_length = None if is_stream else b"%d" % len(b"".join(pieces))
        self.is_stream = is_stream
        self.is_over = False
        self.noted = 0

    def begin(self) -> bytes:
        return self._next()

    async def read(self, outlet: Outlet | None = None) -> bytes:  # noqa: ARG002  # as what passes all
        return self._next()

    def note_usage(self) -> None:
        self.noted += 1
        self.meter.usage = USAGE

    def _next(self) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        self.is_over = not self.pieces
        return piece


class Shelf:
    """A keeper that notes what it gets, at once or later."""

    def __init__(self, max_entry_bytes: int = 100, *, is_slow: bool = False) -> None:
        self.max_entry_bytes = max_entry_bytes
        self.kept: list[Recorded] = []
        self.forgone = 0
        self._is_slow = is_slow

    def keep(self, recorded: Recorded) -> Awaitable[object] | None:
        if self._is_slow:
            return self._later(recorded)
        self.kept.append(recorded)
        return None

    def forgo(self) -> None:
        self.forgone += 1

    async def _later(self, recorded: Recorded) -> None:
        await asyncio.sleep(0)
        self.kept.append(recorded)


def new_meter() -> Meter:
    return Meter("req_1", "/v1/x", lambda: 0.0)


async def drain(reply: Reply) -> bytes:
    """Read as the endpoint does."""
    data = reply.begin()
    if not data and not reply.is_over:
        data = await reply.read()
    parts = [data]
    while not reply.is_over:
        parts.append(await reply.read())
    return b"".join(parts)


@given(
    pieces=st.lists(st.binary(max_size=40), min_size=1, max_size=6),
    is_stream=st.booleans(),
    is_slow=st.lists(st.booleans(), min_size=1, max_size=2),
)
def test_any_reply_passes_untouched_and_is_kept_if_it_fits(
    pieces: list[bytes], is_stream: bool, is_slow: list[bool]
) -> None:
    body, meter = b"".join(pieces), new_meter()
    shelves = [Shelf(is_slow=slow) for slow in is_slow]
    source = Piecewise(pieces, meter, is_stream=is_stream)
    reply = RecordedReply(source, shelves, meter, Room(10**6))
    assert asyncio.run(drain(reply)) == body
    reply.note_usage()
    assert source.noted == 1
    expected = [Recorded(b"text/plain", is_stream, body, USAGE)] if len(body) <= 100 else []
    assert [shelf.kept for shelf in shelves] == [expected] * len(shelves)
    assert [shelf.forgone for shelf in shelves] == [int(not expected)] * len(shelves)
    if expected:
        assert asyncio.run(drain(StoredReply(expected[0]))) == body


async def test_only_the_beginning_was_read() -> None:
    meter, shelf = new_meter(), Shelf()
    reply = RecordedReply(Piecewise([b"a", b"b"], meter), [shelf], meter, Room(10**6))
    assert reply.begin() == b"a"
    assert shelf.kept == []


async def test_reply_that_came_to_a_bad_end_is_not_kept() -> None:
    meter, shelf = new_meter(), Shelf()
    reply = RecordedReply(Piecewise([b"a", b"error"], meter, is_stream=True), [shelf], meter, Room(10**6))
    reply.begin()
    meter.outcome = "interrupted"
    assert await reply.read() == b"error"
    assert reply.is_over
    assert shelf.kept == []


async def test_reply_without_a_length_is_not_kept() -> None:
    meter, shelf = new_meter(), Shelf()
    source = Piecewise([b"a"], meter)
    source.content_length = None
    assert await drain(RecordedReply(source, [shelf], meter, Room(10**6))) == b"a"
    assert (shelf.kept, shelf.forgone) == ([], 1)


async def test_keepers_have_bounds_of_their_own() -> None:
    meter, small, large = new_meter(), Shelf(3), Shelf(10)
    await drain(RecordedReply(Piecewise([b"abcde"], meter), [small, large], meter, Room(10**6)))
    # Whoever gets more than it wants leaves it; the recorder knows the largest bound only.
    assert len(large.kept) == 1


async def test_stored_reply_tells_its_length_and_ends_after_its_beginning() -> None:
    reply = StoredReply(Recorded(b"application/json", False, b"{}"))
    assert (reply.status, reply.content_length, reply.is_stream) == (200, b"2", False)
    assert (reply.begin(), reply.is_over, await reply.read()) == (b"{}", True, b"")
    assert StoredReply(Recorded(b"text/event-stream", True, b"data: 1\n\n")).content_length is None


async def test_replies_under_way_share_one_room_and_give_it_back() -> None:
    meter, room = new_meter(), Room(250)
    shelves = [Shelf(), Shelf(), Shelf(), Shelf()]
    first, second, third, fourth = (
        RecordedReply(Piecewise([b"12345", b"67"], meter), [shelf], meter, room) for shelf in shelves
    )
    for reply in (first, second, third):
        assert reply.begin() == b"12345"
    assert [shelf.forgone for shelf in shelves] == [0, 0, 1, 0]
    assert await third.read() == b"67"
    assert await second.read() == b"67"
    assert (len(shelves[1].kept), shelves[2].kept, room.free_bytes) == (1, [], 150)
    await drain(fourth)
    assert (len(shelves[3].kept), room.free_bytes) == (1, 150)
    first.close()
    first.close()
    assert room.free_bytes == 250


async def test_long_reply_takes_room_bit_by_bit() -> None:
    meter, room, shelf = new_meter(), Room(10**6), Shelf(10**5)
    reply = RecordedReply(Piecewise([b"x" * 1000] * 50, meter), [shelf], meter, room)
    reply.begin()
    assert 10**6 - room.free_bytes < 20_000
    assert await drain(reply)
    assert (len(shelf.kept), room.free_bytes) == (1, 10**6)


async def test_what_tells_about_the_reply_itself_is_kept_with_it() -> None:
    meter, shelf = new_meter(), Shelf()
    meter.reply_headers += [(b"x-lmaas-model", b"other"), (b"x-lmaas-cache", b"miss")]
    await drain(RecordedReply(Piecewise([b"a"], meter), [shelf], meter, Room(1000)))
    assert shelf.kept[0].headers == ((b"x-lmaas-model", b"other"),)
