"""The stage and the shipper: each call has one entry, and the ledger gets each entry once."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas_gateway.books import segments
from lmaas_gateway.books.bookkeeper import Bookkeeper
from lmaas_gateway.books.books import Books
from lmaas_gateway.books.price_list import PriceList
from lmaas_gateway.books.retention import Retention
from lmaas_gateway.call import ROUTES, Call, Principal, Usage
from lmaas_gateway.envelope import Envelope
from lmaas_gateway.errors import BooksFullError, SettingsError
from lmaas_gateway.meter import Meter
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.metrics.exposition import render
from lmaas_gateway.metrics.names import BOOKS_LOST
from lmaas_gateway.settings import BooksSettings, ModelSettings
from support.ledgers import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from lmaas_gateway.entries import Entry

CALLER = Principal("web", organization="org_1", project="proj_1", member="user_1", key="k1")
PRICED = ModelSettings.model_validate(
    {"name": "mock", "model": "x", "price": {"input_per_million": 1, "output_per_million": 2}}
)
BY_THE_SECOND = ModelSettings.model_validate(
    {"name": "mock", "model": "x", "price": {"gpu_second": "0.0007", "gpus": 2}}
)
CALL = Call(
    id="req_1",
    route=ROUTES[0],
    model="mock",
    body=b"{}",
    is_stream=True,
    wants_usage=True,
    choices=1,
    tokens=9,
    prompt=msgspec.Raw(b"x" * 40),
    headers=b"",
    wanted=Envelope(model="mock"),
)


class Share:
    busy_ns = 5


class Clock:
    """Time that moves when told."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Keeper:
    """A bookkeeper, its ledger and its counts."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.ledger = MemoryLedger()
        self.metrics = Metrics()
        self.prices = PriceList()
        self.folder = folder
        self.fields = fields
        self.keeper = self.reopen()

    @property
    def books(self) -> Books:
        return self.keeper.books

    def reopen(self) -> Bookkeeper:
        settings = BooksSettings.model_validate(
            {
                "segment_bytes": 65536,
                "sync_interval_s": 0.01,
                "ship_interval_s": 0.01,
                "max_open_calls": 16,
                "batch_rows": 3,
                **self.fields,
            }
        )
        self.prices.follow([PRICED])
        self.keeper = Bookkeeper(self.folder, settings, self.ledger, self.prices, self.metrics)
        return self.keeper

    def call(self, number: int = 0, *, usage: Usage | None = None) -> None:
        """One call from its beginning to its end."""
        meter = make_meter(f"req_{number}")
        self.books.open(CALL, CALLER, meter)
        meter.status, meter.usage = 200, usage or Usage(10, number)
        self.books.close(meter)

    def count(self, name: str) -> float:
        (line,) = (line for line in render(self.metrics).decode().splitlines() if line.startswith(name + " "))
        return float(line.split()[1])


@pytest.fixture
async def make_keeper(tmp_path: Path) -> AsyncIterator[Callable[..., Keeper]]:
    made: list[Keeper] = []

    def make(**fields: Any) -> Keeper:
        made.append(Keeper(tmp_path / f"data{len(made)}", **fields))
        return made[-1]

    yield make
    for keeper in made:
        await keeper.keeper.close(0)


def make_meter(request_id: str = "req_1", clock: Callable[[], float] | None = None) -> Meter:
    meter = Meter(request_id, "/v1/chat/completions", clock or Clock())
    meter.caller, meter.principal, meter.model, meter.is_stream = CALLER, CALLER.id, "mock", True
    return meter


async def shipped(keeper: Keeper) -> list[Entry]:
    await keeper.keeper.close(5)
    entries = keeper.ledger.entries
    keeper.reopen()
    return entries


async def test_entry_of_a_call_has_all_that_is_known(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    clock = Clock()
    meter = make_meter(clock=clock)
    keeper.books.open(CALL, CALLER, meter)
    clock.now_s += 0.25
    meter.see_first_byte()
    clock.now_s += 0.75
    meter.replica, meter.queued_s, meter.status, meter.share = "mock-0", 0.1, 200, Share()
    meter.usage = Usage(1_000_000, 500_000, 10, reasoning_tokens=7)
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert entry.at_us > 1_700_000_000_000_000
    entry.at_us = 0
    assert msgspec.structs.asdict(entry) == {
        "sequence": 0,
        "request_id": "req_1",
        "at_us": 0,
        "organization": "org_1",
        "project": "proj_1",
        "key": "k1",
        "member": "user_1",
        "model": "mock",
        "replica": "mock-0",
        "route": "/v1/chat/completions",
        "is_stream": True,
        "prompt_tokens": 1_000_000,
        "cached_tokens": 10,
        "completion_tokens": 500_000,
        "reasoning_tokens": 7,
        "is_estimated": False,
        "first_byte_us": 250_000,
        "duration_us": 1_000_000,
        "queued_us": 100_000,
        "busy_ns": 5,
        "outcome": "ok",
        "status": 200,
        "code": "",
        "source": "",
        "price": PRICE,
        "cost_nanos": 2 * 10**9,
    }


PRICE = (
    '{"input_per_million_nanos":1000000000,"cached_input_per_million_nanos":1000000000,'
    '"output_per_million_nanos":2000000000}'
)


async def test_call_that_was_refused_has_an_entry_without_tokens(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.model, meter.status, meter.outcome, meter.code = "", 404, "error", "model_not_found"
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert (entry.status, entry.outcome, entry.code) == (404, "error", "model_not_found")
    assert (entry.completion_tokens, entry.cost_nanos, entry.price) == (0, 0, "")


async def test_who_was_not_let_in_has_no_entry(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.caller, meter.status = None, 401
    keeper.books.close(meter)
    assert await shipped(keeper) == []


async def test_caller_with_a_key_of_the_configuration_goes_by_its_name(
    make_keeper: Callable[..., Keeper],
) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.caller = Principal("batch-jobs")
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert (entry.organization, entry.key) == ("", "batch-jobs")


@pytest.mark.parametrize("source", ["hit", "coalesced", "replayed"])
async def test_reply_out_of_a_store_costs_nothing(make_keeper: Callable[..., Keeper], source: Any) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.cache, meter.status = source, 200
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert (entry.source, entry.prompt_tokens, entry.cost_nanos) == (source, 0, 0)


async def test_call_of_a_model_without_a_price_says_so(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    keeper.prices.follow([])
    keeper.call(5)
    (entry,) = await shipped(keeper)
    assert (entry.price, entry.cost_nanos, entry.completion_tokens) == ("", 0, 5)


async def test_call_is_billed_at_the_model_that_answered(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.model = "asked"
    keeper.books.open(CALL, CALLER, meter)
    meter.model, meter.replica = "mock", "mock-1"
    keeper.books.note_answer(meter)
    meter.usage = Usage(0, 1_000_000)
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert (entry.model, entry.cost_nanos) == ("mock", 2 * 10**9)


async def test_ledger_gets_every_call_once_and_in_batches(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    for number in range(10):
        keeper.call(number)
    entries = await shipped(keeper)
    assert [entry.completion_tokens for entry in entries] == list(range(10))
    assert keeper.ledger.added == 10
    assert keeper.count("lmaas_books_shipped_calls_total") == 10


async def test_answer_that_was_lost_books_nothing_twice(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    for number in range(5):
        keeper.call(number)
    keeper.ledger.forgets_answers = 1
    keeper.keeper.start()
    await until(lambda: len(keeper.ledger.calls) == 5)
    await until(lambda: keeper.ledger.added == 8)
    assert keeper.count("lmaas_books_ship_failures_total") == 1


async def test_outage_of_the_ledger_loses_nothing(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    keeper.ledger.is_away = True
    keeper.keeper.start()
    for number in range(1000):
        keeper.call(number)
        if number % 100 == 0:
            await until(lambda: keeper.keeper.problem is None)
    await until(lambda: keeper.count("lmaas_books_ship_failures_total") >= 2)
    keeper.ledger.is_away = False
    await until(lambda: len(keeper.ledger.calls) == 1000)
    assert [entry.completion_tokens for entry in keeper.ledger.entries] == list(range(1000))
    assert keeper.ledger.added == 1000


async def test_what_could_not_be_shipped_before_the_end_is_shipped_by_the_next_start(
    make_keeper: Callable[..., Keeper],
) -> None:
    keeper = make_keeper()
    keeper.call(1)
    keeper.ledger.is_away = True
    await keeper.keeper.close(0.1)
    keeper.reopen()
    keeper.call(2)
    keeper.ledger.is_away = False
    assert [entry.completion_tokens for entry in await shipped(keeper)] == [1, 2]


async def test_process_that_dies_is_billed_by_the_next(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    keeper.call(1)
    meter = make_meter("req_open")
    keeper.books.open(CALL, CALLER, meter)
    assert meter.open_call is not None
    meter.open_call.note_tokens(41)
    left = die(keeper)
    (entry,) = [entry for entry in await shipped(left) if entry.request_id == "req_open"]
    assert (entry.outcome, entry.code, entry.status) == ("gateway_lost", "gateway_lost", 0)
    assert (entry.prompt_tokens, entry.completion_tokens, entry.is_estimated) == (10, 41, True)
    assert entry.cost_nanos == 10 * 1000 + 41 * 2000
    assert left.count("lmaas_books_recovered_calls_total") == 1
    assert len(left.ledger.calls) == 2


class Replica:
    """The clock of a replica."""

    reading_ns = 0

    def look(self) -> int:
        return self.reading_ns


async def test_call_whose_process_dies_costs_the_time_that_was_known(
    make_keeper: Callable[..., Keeper],
) -> None:
    keeper = make_keeper()
    keeper.prices.follow([BY_THE_SECOND])
    replica, other = Replica(), Replica()
    meters = [make_meter(f"req_{number}") for number in range(3)]
    for meter in meters:
        keeper.books.open(CALL, CALLER, meter)
    # One is at work, one waits in the queue, one has ended.
    meters[0].stay = (replica, 10**9)
    replica.reading_ns = 3 * 10**9
    keeper.books.note_busy()
    replica.reading_ns = 4 * 10**9
    meters[2].stay = (other, 0)
    keeper.books.close(meters[2])
    other.reading_ns = 10**9
    keeper.books.note_busy()
    replica.reading_ns = 5 * 10**9
    entries = {entry.request_id: entry for entry in await shipped(die(keeper))}
    assert entries["req_0"].outcome == entries["req_1"].outcome == "gateway_lost"
    assert [entries[f"req_{number}"].busy_ns for number in range(3)] == [3 * 10**9, 0, 0]
    assert entries["req_0"].cost_nanos == 3 * 2 * 7 * 10**5


async def test_slot_forgets_the_time_of_the_call_before(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    for stay in ((Replica(), -5), None):
        meter = make_meter()
        keeper.books.open(CALL, CALLER, meter)
        meter.stay = stay
        keeper.books.note_busy()
        if stay is not None:
            keeper.books.close(meter)
    assert sorted(entry.busy_ns for entry in await shipped(die(keeper))) == [0, 0]


async def test_call_that_had_ended_when_its_process_died_is_billed_as_it_ended(
    make_keeper: Callable[..., Keeper],
) -> None:
    keeper = make_keeper()
    meter = make_meter()
    keeper.books.open(CALL, CALLER, meter)
    open_call = meter.open_call
    assert open_call is not None
    open_call.note_tokens(3)
    meter.usage, meter.status = Usage(10, 7), 200
    meter.open_call = None  # the process dies between the journal and the slot
    keeper.books.close(meter)
    left = die(keeper)
    (entry,) = await shipped(left)
    assert (entry.outcome, entry.completion_tokens) == ("ok", 7)
    assert left.ledger.added == 2


def die(keeper: Keeper) -> Keeper:
    """Leave the files of a process as they are, and read a copy of them in another one's place."""
    other = Keeper(keeper.folder.with_name(keeper.folder.name + "-copy"), **keeper.fields)
    (folder,) = (keeper.folder / "books").iterdir()
    # A segment still being made takes its name while the folder is read: it is not of the files yet.
    shutil.copytree(folder, other.folder / "books" / folder.name, ignore=shutil.ignore_patterns("*.draft"))
    return other


async def test_disk_without_room_holds_calls_in_memory_and_writes_them_when_there_is(
    make_keeper: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = make_keeper()
    keeper.keeper.start()
    keeper.ledger.is_away = True
    with monkeypatch.context() as full:
        full.setattr(segments, "fill", _no_room)
        for number in range(1500):
            keeper.call(number)
        assert keeper.books.held_bytes > 0
    keeper.ledger.is_away = False
    await until(lambda: len(keeper.ledger.calls) == 1500, within_s=20)
    assert keeper.books.held_bytes == 0


def _no_room(file: int, size: int) -> None:
    raise OSError(28, "No space left on device")


async def test_lenient_books_count_what_is_lost(
    make_keeper: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = make_keeper(memory_bytes=1000)
    monkeypatch.setattr(segments, "fill", _no_room)
    for number in range(1500):
        keeper.call(number)
    lost = keeper.count(BOOKS_LOST.sample_name)
    assert 0 < lost < 1500
    assert 1000 < keeper.books.held_bytes < 2000


async def test_strict_books_refuse_calls_rather_than_lose_one(
    make_keeper: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = make_keeper(policy="strict", memory_bytes=1000)
    monkeypatch.setattr(segments, "fill", _no_room)
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


async def test_record_that_cannot_be_read_holds_up_no_other(
    make_keeper: Callable[..., Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    keeper = make_keeper()
    keeper.keeper._journal.append(b"\xc1")
    keeper.call(1)
    assert len(await shipped(keeper)) == 1
    assert "cannot be read" in caplog.text


async def test_gauge_tells_what_waits(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    keeper.call(1)
    assert keeper.count('lmaas_books_waiting_bytes{where="journal"}') > 100
    assert keeper.count('lmaas_books_waiting_bytes{where="memory"}') == 0


def test_start_without_room_for_a_journal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "fill", _no_room)
    with pytest.raises(SettingsError, match="no room for a journal"):
        Bookkeeper(tmp_path, BooksSettings(), MemoryLedger(), PriceList(), Metrics())
    assert list((tmp_path / "books").iterdir()) == []


async def test_calls_are_kept_as_long_as_the_setting_says(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    for number in range(7):
        keeper.call(number)
    await shipped(keeper)
    day_us = 86_400_000_000
    for number, entry in enumerate(keeper.ledger.entries):
        entry.at_us = number * day_us
    retention = Retention(keeper.ledger, 2, clock=lambda: 7.5 * 86_400)
    assert await retention.drop() == 6
    assert [entry.completion_tokens for entry in keeper.ledger.entries] == [6]
    assert await retention.drop() == 0


async def test_retention_goes_by_itself_and_past_outages(
    make_keeper: Callable[..., Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    keeper = make_keeper(retention_days=1)
    keeper.call(1)
    await shipped(keeper)
    keeper.ledger.entries[0].at_us = 5
    keeper.ledger.is_away = True
    keeper.keeper.start()
    await until(lambda: "could not be dropped" in caplog.text)
    keeper.ledger.is_away = False
    await keeper.keeper.close(1)
    keeper.reopen().start()
    await until(lambda: not keeper.ledger.calls)


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait for what happens in other tasks and threads."""

    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
