"""The books where room runs out: on the disk, in memory, in the slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.books_rig import CALL, CALLER, Keeper, make_keeper, make_meter, no_room, shipped, until
from lmaas_gateway.books import segments
from lmaas_gateway.books.bookkeeper import Bookkeeper
from lmaas_gateway.books.price_list import PriceList
from lmaas_gateway.errors import BooksFullError, SettingsError
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.metrics.names import BOOKS_LOST
from lmaas_gateway.settings import BooksSettings
from support.ledgers import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["make_keeper"]


async def test_disk_without_room_holds_calls_in_memory_and_writes_them_when_there_is(
    make_keeper: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = make_keeper()
    keeper.keeper.start()
    keeper.ledger.is_away = True
    with monkeypatch.context() as full:
        full.setattr(segments, "fill", no_room)
        for number in range(1500):
            keeper.call(number)
        assert keeper.books.held_bytes > 0
    keeper.ledger.is_away = False
    await until(lambda: len(keeper.ledger.calls) == 1500, within_s=20)
    assert keeper.books.held_bytes == 0


async def test_lenient_books_count_what_is_lost(
    make_keeper: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = make_keeper(memory_bytes=1000)
    monkeypatch.setattr(segments, "fill", no_room)
    for number in range(1500):
        keeper.call(number)
    lost = keeper.count(BOOKS_LOST.sample_name)
    assert 0 < lost < 1500
    assert 1000 < keeper.books.held_bytes < 2000


async def test_strict_books_refuse_calls_rather_than_lose_one(
    make_keeper: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = make_keeper(policy="strict", memory_bytes=1000)
    monkeypatch.setattr(segments, "fill", no_room)
    served = 0
    while keeper.books.held_bytes <= 1000:
        keeper.call(served)
        served += 1
    with pytest.raises(BooksFullError) as refused:
        keeper.call(served)
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (503, "books_full", 5)
    assert keeper.count(BOOKS_LOST.sample_name) == 0
    monkeypatch.undo()
    keeper.keeper.start()
    await until(lambda: len(keeper.ledger.calls) == served, within_s=20)
    keeper.call(1)


async def test_more_calls_than_slots_are_booked_all_the_same(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    meters = [make_meter(f"req_{number}") for number in range(20)]
    for meter in meters:
        keeper.books.open(CALL, CALLER, meter)
    assert sum(meter.open_call is None for meter in meters) == 4
    for meter in meters:
        keeper.books.note_answer(meter)
        keeper.books.close(meter)
    assert len(await shipped(keeper)) == 20


async def test_gauge_tells_what_waits(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    keeper.call(1)
    assert keeper.count('lmaas_books_waiting_bytes{where="journal"}') > 100
    assert keeper.count('lmaas_books_waiting_bytes{where="memory"}') == 0


def test_start_without_room_for_a_journal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "fill", no_room)
    with pytest.raises(SettingsError, match="no room for a journal"):
        Bookkeeper(tmp_path, BooksSettings(), MemoryLedger(), PriceList(), Metrics())
    assert list((tmp_path / "books").iterdir()) == []
