"""Counters: never over their limit in any window, never leaking, whatever is given back and when."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lmaas_gateway.limits.rules import Limit
from lmaas_gateway.limits.table import Stamp, Table, TableFullError, prepare_table

MIDNIGHT = datetime(2026, 1, 31, tzinfo=UTC).timestamp()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.wall_s = MIDNIGHT

    def __call__(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return self.wall_s

    def pass_(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_s += seconds


def make_table(clock: Clock, records: int = 64) -> Table:
    return Table.in_memory(records, clock=clock, wall=clock.wall)


def requests(amount: int, period: Any = "minute", subject: str = "k") -> Limit:
    return Limit("key", subject, "requests", amount, period)


COST = [1, 0, 0, 1, 0]


def test_no_sixty_seconds_hold_more_than_the_limit() -> None:
    clock = Clock()
    table = make_table(clock)
    counters = [table.counter(requests(3))]
    assert table.reserve(counters, COST)
    clock.pass_(30.4)
    assert table.reserve(counters, COST)
    assert table.reserve(counters, COST)
    assert table.reserve(counters, COST) is None
    clock.pass_(29.5)  # 59.9 s after the first
    assert table.reserve(counters, COST) is None
    clock.pass_(1.1)
    assert table.reserve(counters, COST)
    assert table.reserve(counters, COST) is None


def test_told_wait_is_when_there_is_room_again() -> None:
    clock = Clock()
    table = make_table(clock)
    counters = [table.counter(requests(2))]
    table.reserve(counters, COST)
    clock.pass_(10.25)
    table.reserve(counters, COST)
    wait_s = table.wait_s(counters[0], 1)
    assert 50 <= wait_s - 0 <= 61
    clock.pass_(wait_s - 0.01)
    assert table.reserve(counters, COST) is None
    clock.pass_(0.02)
    assert table.reserve(counters, COST)
    assert table.wait_s(counters[0], 3) == float("inf")


def test_refused_call_takes_from_no_counter() -> None:
    table = make_table(Clock())
    wide, narrow = table.counter(requests(10)), table.counter(requests(1, subject="other"))
    assert table.reserve([wide, narrow], COST)
    assert table.reserve([wide, narrow], COST) is None
    assert table.total(wide) == 1
    assert table.find_refusing([wide, narrow], COST) == [narrow]


def test_day_and_month_begin_anew_with_the_calendar_in_utc() -> None:
    clock = Clock()
    table = make_table(clock)
    day, month = table.counter(requests(1, "day")), table.counter(requests(2, "month"))
    assert table.reserve([day, month], COST)
    assert table.reserve([day, month], COST) is None
    assert table.ends_in_s("day") == 86_400
    assert table.ends_in_s("month") == 86_400
    clock.pass_(86_400)
    assert table.ends_in_s("month") == 28 * 86_400
    assert table.reserve([day, month], COST)
    assert table.total(month) == 1


def test_clock_that_is_set_back_gives_no_day_back() -> None:
    clock = Clock()
    table = make_table(clock)
    day = [table.counter(requests(1, "day"))]
    assert table.reserve(day, COST)
    clock.now_s += 1
    clock.wall_s -= 3600
    assert table.reserve(day, COST) is None
    clock.now_s += 1
    clock.wall_s += 7200
    assert table.reserve(day, COST) is None


def test_what_is_given_back_late_is_not_taken_from_others() -> None:
    clock = Clock()
    table = make_table(clock)
    counters = [table.counter(Limit("key", "k", "tokens", 100, "minute"))]
    stamp = table.reserve(counters, [1, 80, 0, 1, 80])
    assert stamp
    clock.pass_(61)
    assert table.reserve(counters, [1, 100, 0, 1, 100])
    table.give_back(counters, [0, 50, 0, 1, 80], stamp)
    assert table.total(counters[0]) == 100


def test_charge_goes_past_the_limit() -> None:
    table = make_table(Clock())
    counters = [table.counter(requests(1))]
    table.charge(counters, [5, 0, 0, 0, 0])
    assert table.total(counters[0]) == 5
    assert table.reserve(counters, COST) is None


def test_full_table_says_so_and_finds_what_it_has() -> None:
    table = make_table(Clock(), records=2)
    first = table.counter(requests(1, subject="a"))
    table.counter(requests(1, subject="b"))
    assert table.counter(requests(5, subject="a")).at == first.at
    with pytest.raises(TableFullError):
        table.counter(requests(1, subject="c"))


def test_kept_file_brings_a_months_use_over_a_restart_but_no_call_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "table"
    month = Limit("key", "k", "money", 10, "month")
    flight = Limit("key", "k", "calls_in_flight", 10)
    prepare_table(path, 64)
    table = Table.in_file(path)
    assert table.reserve([table.counter(month), table.counter(flight)], [1, 0, 7, 1, 0])
    prepare_table(path, 128)
    table = Table.in_file(path)
    assert table.total(table.counter(month)) == 7
    assert table.total(table.counter(flight)) == 0


def test_dead_workers_calls_are_taken_back_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "table"
    prepare_table(path, 64)
    flight = Limit("key", "k", "calls_in_flight", 3)
    tables = [Table.in_file(path, slot=slot, is_shared=True) for slot in range(2)]
    counters = [[table.counter(flight)] for table in tables]
    assert tables[0].reserve(counters[0], COST)
    assert tables[1].reserve(counters[1], COST)
    assert tables[1].reserve(counters[1], COST)
    assert tables[0].reserve(counters[0], COST) is None
    tables[0].free_slot(1)
    assert tables[0].total(counters[0][0]) == 1


def _hold(path: Path, holding: Any) -> None:
    table = Table.in_file(path, slot=1, is_shared=True)
    table._acquire()
    holding.set()
    signal.pause()


def test_stopped_worker_that_holds_the_lock_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "table"
    prepare_table(path, 64)
    context = multiprocessing.get_context("fork")
    holding = context.Event()
    worker = context.Process(target=_hold, args=(path, holding))
    worker.start()
    assert holding.wait(10)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    other = Table.in_file(path, is_shared=True)
    counters = [other.counter(requests(2))]
    assert other.reserve(counters, COST)
    assert other.reserve(counters, COST)
    assert other.reserve(counters, COST) is None
    # The system frees the lock of one that dies.
    worker.kill()
    worker.join()
    assert other.reserve(counters, COST) is None


def _take_all(path: Path, slot: int, tries: int, taken: Any) -> None:
    table = Table.in_file(path, slot=slot, is_shared=True)
    counters = [table.counter(requests(500)), table.counter(Limit("key", "k", "calls_in_flight", 10_000))]
    taken.put(sum(table.reserve(counters, COST) is not None for _ in range(tries)))


def test_workers_together_take_exactly_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "table"
    prepare_table(path, 64)
    context = multiprocessing.get_context("fork")
    taken = context.Queue()
    workers = [context.Process(target=_take_all, args=(path, slot, 400, taken)) for slot in range(3)]
    for worker in workers:
        worker.start()
    counts = [taken.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(counts) == 500
    table = Table.in_file(path, is_shared=True)
    assert table.total(table.counter(Limit("key", "k", "calls_in_flight", 1))) == 500


LIMITS = (
    requests(5),
    Limit("organization", "o", "tokens", 100, "minute"),
    Limit("key", "k", "tokens", 300, "day"),
    Limit("key", "k", "calls_in_flight", 3),
    Limit("key", "k", "tokens_in_flight", 120),
)


class CountersModel(RuleBasedStateMachine):
    """Calls that take, settle late or never, and time that passes, against a plain list of what was used."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.table = make_table(self.clock)
        self.counters = [self.table.counter(limit) for limit in LIMITS]
        self.held: list[tuple[Stamp, int, list[Any]]] = []
        self.used: list[list[Any]] = []

    def in_window(self, metric: int) -> int:
        second = int(self.clock.now_s)
        return sum(use[metric] for use in self.used if second - use[2] < 61)

    @rule(tokens=st.integers(0, 130))
    def take(self, tokens: int) -> None:
        today = int(self.clock.wall_s // 86400)
        fits = (
            self.in_window(0) + 1 <= 5
            and self.in_window(1) + tokens <= 100
            and sum(use[1] for use in self.used if use[3] == today) + tokens <= 300
            and len(self.held) + 1 <= 3
            and sum(held[1] for held in self.held) + tokens <= 120
        )
        stamp = self.table.reserve(self.counters, [1, tokens, 0, 1, tokens])
        assert (stamp is not None) == fits
        if stamp is not None:
            use = [1, tokens, int(self.clock.now_s), today]
            self.used.append(use)
            self.held.append((stamp, tokens, use))

    @rule(which=st.integers(0, 5), part=st.floats(0, 1))
    def settle(self, which: int, part: float) -> None:
        if not self.held:
            return
        stamp, tokens, use = self.held.pop(which % len(self.held))
        unused = int(tokens * part)
        self.table.give_back(self.counters, [0, unused, 0, 1, tokens], stamp)
        use[1] -= unused

    @rule(seconds=st.sampled_from((0.3, 1, 7, 30, 59, 60, 61, 62, 3600, 40_000)))
    def wait(self, seconds: float) -> None:
        self.clock.pass_(seconds)

    @invariant()
    def holds_what_the_calls_under_way_hold(self) -> None:
        assert self.table.total(self.counters[3]) == len(self.held)
        assert self.table.total(self.counters[4]) == sum(held[1] for held in self.held)


CountersModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCountersModel = CountersModel.TestCase
