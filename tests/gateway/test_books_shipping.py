"""The shipper: the ledger gets each entry once, whoever is away or dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.books_rig import CALL, CALLER, Keeper, die, make_keeper, make_meter, shipped, until
from lmaas_gateway.books.retention import Retention
from lmaas_gateway.call import Usage
from lmaas_gateway.settings import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["make_keeper"]


BY_THE_SECOND = ModelSettings.model_validate(
    {"name": "mock", "model": "x", "price": {"gpu_second": "0.0007", "gpus": 2}}
)


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


async def test_record_that_cannot_be_read_holds_up_no_other(
    make_keeper: Callable[..., Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    keeper = make_keeper()
    keeper.keeper._journal.append(b"\xc1")
    keeper.call(1)
    assert len(await shipped(keeper)) == 1
    assert "cannot be read" in caplog.text


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
