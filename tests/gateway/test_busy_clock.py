"""A replica's time is shared out to its calls, none of it twice and none of it to nobody."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.board import Seat, SharedBoard
from lmaas_gateway.replicas.busy_clock import BusyClock
from lmaas_gateway.replicas.pool import SharedLoad
from lmaas_gateway.testing import FakeReplica, Script
from support.replicas import make_replica
from support.serving import ASK, CHAT, run_gateway, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.replicas.pool import Replica


class Clock:
    """Time that moves when told."""

    now_ns = 1000

    def __call__(self) -> int:
        return self.now_ns


def test_call_that_is_alone_has_all_of_the_time() -> None:
    clock, replica = Clock(), make_replica()
    busy_clock = replica.busy = BusyClock(clock)
    clock.now_ns += 500
    entered = replica.enter(1)
    clock.now_ns += 70
    assert replica.leave(1) - entered == 70
    clock.now_ns += 500
    replica.look()
    assert busy_clock.busy_ns == 70


def test_calls_that_run_together_share() -> None:
    clock, replica = Clock(), make_replica()
    busy_clock = replica.busy = BusyClock(clock)
    first = replica.enter(1)
    clock.now_ns += 100  # alone
    second = replica.enter(1)
    clock.now_ns += 60  # two: 30 each
    assert replica.leave(1) - first == 130
    clock.now_ns += 10  # alone
    assert replica.leave(1) - second == 40
    assert busy_clock.busy_ns == 170


@given(steps=st.lists(st.tuples(st.integers(0, 10**9), st.booleans()), max_size=60))
def test_shares_add_up_to_the_busy_time(steps: list[tuple[int, bool]]) -> None:
    clock, replica = Clock(), make_replica()
    busy_clock = replica.busy = BusyClock(clock)
    open_calls: list[int] = []
    shares = busy = 0
    for passed, is_entering in [*steps, *[(5, False)] * len(steps)]:
        clock.now_ns += passed
        busy += passed if open_calls else 0
        if is_entering:
            open_calls.append(replica.enter(1))
        elif open_calls:
            entered = open_calls.pop(0)
            shares += replica.leave(1) - entered
    rounding = len(steps) ** 2 + 1
    assert busy - rounding <= shares <= busy
    assert busy - rounding <= busy_clock.busy_ns <= busy


def workers(folder: Path, clock: Clock) -> list[Replica]:
    """The same replica, as two workers see it."""
    replicas = []
    for slot in range(2):
        board = SharedBoard(Seat(folder, slot, 2))
        replica = make_replica()
        replica.shared = SharedLoad(board.number("calls"), board.number("tokens"))
        replica.busy = BusyClock(clock)
        replicas.append(replica)
    return replicas


def test_workers_share_a_replica(tmp_path: Path) -> None:
    clock = Clock()
    one, other = workers(tmp_path, clock)
    first = one.enter(1)
    second = other.enter(1)
    one.look()
    clock.now_ns += 100
    assert one.look() - first == other.look() - second == 50


def test_workers_that_look_seldom_are_not_far_off(tmp_path: Path) -> None:
    clock, draw = Clock(), random.Random(5)
    one, other = workers(tmp_path, clock)
    one.enter(1)
    for _ in range(1000):
        for change in (other.enter, other.leave):
            change(1)
            clock.now_ns += draw.randint(0, 100)
            if draw.random() < 0.15:
                one.look()
            clock.now_ns += draw.randint(0, 100)
    one.leave(1)
    total = sum(replica.busy.busy_ns for replica in (one, other) if replica.busy is not None)
    assert abs(total / (clock.now_ns - 1000) - 1) < 0.1


def test_seconds_are_given_once() -> None:
    clock, replica = Clock(), make_replica()
    busy_clock = replica.busy = BusyClock(clock)
    replica.enter(1)
    clock.now_ns += 2 * 10**9
    replica.look()
    assert busy_clock.take_seconds() == 2.0
    assert busy_clock.take_seconds() == 0.0


async def test_time_of_a_replica_is_counted_while_a_call_runs() -> None:
    async with (
        FakeReplica(script=Script(headers_delay_s=0.3)) as replica,
        run_gateway(settings_for(replica)) as running,
    ):
        await running.post(CHAT, ASK)
        running.gateway._gauges.look()
        text = (await running.get("/metrics")).body.decode()
        (line,) = (line for line in text.splitlines() if line.startswith("lmaas_replica_busy_seconds_total{"))
        assert 0.25 < float(line.split()[1]) < 5


async def test_gateway_without_books_looks_at_no_clock() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica, open=True)) as running:
        await running.post(CHAT, ASK)
        (one,) = running.gateway.directory.pools["mock"].replicas
        assert one.busy is None
        assert one.look() == 0
