"""Sessions by themselves: how long they last, what opens them, what an outage does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from lmaas_gateway.errors import StoreUnavailableError, VaultError
from lmaas_gateway.web.charts import bars, round_up, stretches
from lmaas_gateway.web.rendering import (
    show_percent,
    show_rate,
    show_seconds,
    show_short,
    show_size,
    show_usd,
)
from lmaas_gateway.web.sessions import HeldSessions, Sessions
from lmaas_gateway.web.stored_sessions import StoredSessions

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.storage.records import Session as Record

KEY = b"sk-lmaas-of-somebody"


class Held(HeldSessions):
    """A store that may be down, and may be written to by others."""

    is_down = False

    async def find(self, id_: str) -> Record | None:
        if self.is_down:
            raise StoreUnavailableError("The store is down.")
        return await super().find(id_)

    @property
    def rows(self) -> dict[str, Record]:
        return self._held


class Desk:
    """Sessions with a store, keys and a time of their own."""

    def __init__(self, store: Held | StoredSessions | None = None) -> None:
        self.store = store or Held()
        self.keys = {1: b"1" * 32}
        self.now_s = 1_800_000_000.0
        self.sessions = Sessions(
            self.store,
            key_of=self._key_of,
            newest=lambda: max(self.keys),
            lifetime_s=3600,
            wall_clock=lambda: self.now_s,
            clock=lambda: self.now_s,
        )

    def _key_of(self, version: int) -> bytes:
        try:
            return self.keys[version]
        except KeyError:
            raise VaultError("no such version") from None


async def test_session_lasts_as_long_as_it_is_said() -> None:
    desk = Desk()
    token = await desk.sessions.begin(KEY)
    desk.now_s += 3599
    found = await desk.sessions.find(token)
    assert found is not None
    assert found.credential == KEY
    desk.now_s += 1
    assert await desk.sessions.find(token) is None


async def test_no_two_cookies_are_alike_and_none_holds_its_key() -> None:
    desk = Desk()
    tokens = {await desk.sessions.begin(KEY) for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) > 60 and KEY.decode() not in token for token in tokens)


async def test_row_alone_opens_nothing_and_another_cookie_does_not_open_it() -> None:
    desk = Desk()
    assert isinstance(desk.store, Held)
    one, other = await desk.sessions.begin(KEY), await desk.sessions.begin(b"another")
    assert all(KEY not in row.sealed and row.id not in one for row in desk.store.rows.values())
    ids = list(desk.store.rows)
    desk.store.rows[ids[1]] = replace(desk.store.rows[ids[0]], id=ids[1])
    assert await desk.sessions.find(other) is None, "a row that was moved does not open"


async def test_newer_master_secret_keeps_sessions_and_one_that_is_gone_ends_them() -> None:
    desk = Desk()
    token = await desk.sessions.begin(KEY)
    desk.keys[2] = b"2" * 32
    assert await desk.sessions.find(token) is not None
    assert (await desk.sessions.begin(KEY)).startswith("2.")
    del desk.keys[1]
    assert await desk.sessions.find(token) is None


async def test_outage_signs_nobody_out_who_is_known() -> None:
    desk = Desk()
    assert isinstance(desk.store, Held)
    known, unknown = await desk.sessions.begin(KEY), await desk.sessions.begin(KEY)
    await desk.sessions.find(known)
    desk.store.is_down = True
    desk.now_s += 60
    assert await desk.sessions.find(known) is not None
    with pytest.raises(StoreUnavailableError):
        await desk.sessions.find(unknown)


async def test_one_that_was_ended_elsewhere_is_known_to_be_within_seconds() -> None:
    store = Held()
    here, there = Desk(store), Desk(store)
    token = await here.sessions.begin(KEY)
    assert await there.sessions.find(token) is not None
    await here.sessions.end(token)
    there.now_s += 3
    assert await there.sessions.find(token) is None


async def test_database_keeps_sessions_and_drops_those_that_are_over(database: Database) -> None:
    desk = Desk(StoredSessions(database))
    token = await desk.sessions.begin(KEY)
    assert await Desk(StoredSessions(database)).sessions.find(token) is not None
    desk.now_s += 3601
    newer = await desk.sessions.begin(KEY)
    assert await desk.sessions.find(newer) is not None
    await desk.sessions.end(newer)
    assert await desk.sessions.find(newer) is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (show_usd(0), "$0.00"),
        (show_usd(12_340_000_000), "$12.34"),
        (show_usd(11_800), "$0.0000118"),
        (show_seconds(0.00084), "840 µs"),
        (show_seconds(1.254), "1.25 s"),
        (show_seconds(600), "10 min"),
        (show_short(74_910_000), "74.9M"),
        (show_short(9500), "9,500"),
        (show_rate(0), "0"),
        (show_rate(0.0741), "0.074"),
        (show_rate(12.34), "12.3"),
        (show_rate(1234.5), "1,234"),
        (show_size(512 * 2**20), "512 MiB"),
        (show_size(1.25 * 2**30), "1.25 GiB"),
        (show_percent(0.0123), "1.2 %"),
        (show_percent(1), "100 %"),
    ],
)
def test_numbers_are_written_as_they_are_read(shown: str, expected: str) -> None:
    assert shown == expected


def test_bars_stand_on_the_floor_and_reach_to_their_value() -> None:
    chart = bars(["2026-01-01", "2026-01-02", "2026-01-03"], {"2026-01-01": 2.0, "2026-01-02": 4.0})
    low, high, none = chart.bars
    assert (round(high.height / low.height, 2), none.height) == (2.0, 0)
    assert low.y + low.height == pytest.approx(high.y + high.height)
    assert chart.highest == high
    assert [label for _, label in chart.labels] == ["01-01", "01-02", "01-03"]
    assert bars([], {}).highest is None


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (1.1, 2), (3, 5), (7, 10), (0.012, 0.02)])
def test_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_steps_are_drawn_inside_the_call() -> None:
    drawn = stretches([(0.5, 0.5), (None, 1), (0.2, None), (0.9, 5.0)], 1.0)
    assert drawn == [(50, 50), None, None, (90, pytest.approx(10))]
