"""The gate of one pool on a real event loop: going at once, waiting, leaving, being sent away."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.admission.admission import Admission
from lmaas_gateway.admission.line import Rules
from lmaas_gateway.board import Seat, SharedBoard
from lmaas_gateway.call import Principal
from lmaas_gateway.errors import (
    CallShedError,
    DeadlineExceededError,
    GatewayError,
    QueueFullError,
    QueueShareFullError,
    QueueTimeoutError,
)
from lmaas_gateway.meter import Meter
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.replicas.pool import Pool
from support.calls import make_call
from support.replicas import make_replica

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.admission.admission import Turn

RULES = Rules(max_queued=100, timeout_s=10, reserve=0, is_shared=True)
ONE, TWO = Principal("one"), Principal("two")
CALL = make_call()


def make_pool(*capacities: int, **fields: Any) -> Pool:
    replicas = [make_replica(f"r{index}") for index in range(len(capacities))]
    for replica, capacity in zip(replicas, capacities, strict=True):
        replica.max_in_flight = capacity
    return Pool("mock", "chat", tuple(replicas), 0, **fields)


def make_admission(**rules: Any) -> Admission:
    return Admission(dataclasses.replace(RULES, **rules), Metrics())


def make_meter() -> Meter:
    return Meter("req_1", "/v1/chat/completions", lambda: 0.0)


class Caller:
    """One call on its way through the gate, and what becomes of it."""

    def __init__(self, admission: Admission, pool: Pool, principal: Principal = ONE, **fields: Any) -> None:
        self.meter = make_meter()
        self.turn: Turn = admission.turn(principal, self.meter)
        self.task = asyncio.ensure_future(self._enter(pool, make_call(**fields)))

    async def _enter(self, pool: Pool, call: Any) -> None:
        if self.turn.enter(call, pool) is None:
            await self.turn.wait(call, pool)

    @property
    def is_in(self) -> bool:
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    @property
    def error(self) -> GatewayError:
        error = self.task.exception()
        assert isinstance(error, GatewayError)
        return error

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.meter.reply_headers)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_call_goes_at_once_while_there_is_room() -> None:
    admission, pool = make_admission(), make_pool(2)
    turn = admission.turn(ONE, make_meter())
    assert turn.enter(CALL, pool) is CALL
    assert admission.gate(pool).in_flight == 1
    turn.leave()
    turn.leave()
    assert admission.gate(pool).in_flight == 0


async def test_call_that_ends_lets_the_next_one_in() -> None:
    admission, pool = make_admission(), make_pool(1, 1)
    callers = [Caller(admission, pool) for _ in range(4)]
    await settle()
    assert [caller.is_in for caller in callers] == [True, True, False, False]
    callers[0].turn.leave()
    await settle()
    assert [caller.is_in for caller in callers] == [True, True, True, False]
    assert admission.gate(pool).in_flight == 2
    assert callers[2].headers[b"x-lmaas-queue-position"] == b"1"
    assert b"x-lmaas-queue-wait-ms" in callers[2].headers
    assert not callers[1].headers
    callers[3].task.cancel()


async def test_client_that_leaves_while_it_waits_leaves_the_queue_at_once() -> None:
    admission, pool = make_admission(), make_pool(1)
    first, gone, last = (Caller(admission, pool) for _ in range(3))
    await settle()
    gone.task.cancel()
    await settle()
    gate = admission.gate(pool)
    assert gate.depth(1) == 1
    first.turn.leave()
    await settle()
    assert last.is_in
    last.turn.leave()
    assert gate.in_flight == 0


async def test_client_that_leaves_in_the_moment_of_its_turn_gives_the_place_on() -> None:
    admission, pool = make_admission(), make_pool(1)
    first, gone, last = (Caller(admission, pool) for _ in range(3))
    await settle()
    first.turn.leave()
    gone.task.cancel()
    await settle()
    assert last.is_in
    last.turn.leave()
    assert admission.gate(pool).in_flight == 0


async def test_thousand_clients_that_leave_together_cost_no_place() -> None:
    admission, pool = make_admission(max_queued=10_000, is_shared=False), make_pool(1)
    first = Caller(admission, pool)
    await settle()
    crowd = [Caller(admission, pool) for _ in range(3000)]
    await settle()
    for caller in crowd:
        caller.task.cancel()
    first.turn.leave()
    await settle()
    gate = admission.gate(pool)
    assert (gate.in_flight, gate.depth(1)) == (0, 0)


async def test_wait_beyond_the_deadline_ends_with_503_and_retry_after() -> None:
    admission, pool = make_admission(timeout_s=0.05), make_pool(1)
    Caller(admission, pool)
    waiting = Caller(admission, pool)
    await asyncio.wait([waiting.task])
    assert isinstance(waiting.error, QueueTimeoutError)
    assert waiting.error.retry_after_s == 1
    assert "queue.timeout_s" in waiting.error.message
    assert waiting.meter.queued_s >= 0.05
    assert admission.gate(pool).depth(1) == 0


async def test_deadline_of_the_call_ends_its_wait_too() -> None:
    admission, pool = make_admission(), make_pool(1)
    Caller(admission, pool)
    waiting = Caller(admission, pool, deadline_s=asyncio.get_running_loop().time() + 0.05)
    await asyncio.wait([waiting.task])
    assert isinstance(waiting.error, DeadlineExceededError)


async def test_full_queue_and_full_share_name_their_limit() -> None:
    admission, pool = make_admission(max_queued=4), make_pool(1)
    callers = [Caller(admission, pool) for _ in range(4)]
    others = [Caller(admission, pool, Principal(name)) for name in "abc"]
    await settle()
    assert isinstance(callers[3].error, QueueShareFullError)
    assert callers[3].headers[b"x-lmaas-queue-position"] == b"3"
    assert isinstance(others[2].error, QueueFullError)
    assert "queue.max_queued" in others[2].error.message
    for caller in (*callers, *others):
        caller.task.cancel()


async def test_call_of_a_higher_class_takes_the_place_of_a_lower_one() -> None:
    admission, pool = make_admission(max_queued=1, is_shared=False), make_pool(1)
    Caller(admission, pool)
    low = Caller(admission, pool, priority=1)
    await settle()
    normal = Caller(admission, pool)
    await settle()
    assert isinstance(low.error, CallShedError)
    assert not normal.task.done()
    normal.task.cancel()


async def test_high_class_goes_first_and_low_last() -> None:
    admission, pool = make_admission(), make_pool(1)
    first = Caller(admission, pool)
    urgent = Principal("urgent", 1.0, -1)
    low, normal = Caller(admission, pool, priority=5), Caller(admission, pool)
    high = Caller(admission, pool, urgent)
    lowered = Caller(admission, pool, urgent, priority=1)
    raised = Caller(admission, pool, priority=-9)
    await settle()
    order: list[Caller] = []
    last = first
    for _ in range(5):
        last.turn.leave()
        await settle()
        (last,) = (
            caller for caller in (low, normal, high, lowered, raised) if caller.is_in and caller not in order
        )
        order.append(last)
    assert order[0] is high
    assert set(order[1:3]) == {normal, raised}
    assert set(order[3:]) == {low, lowered}


async def test_call_that_moves_on_to_another_pool_gives_up_its_place() -> None:
    admission, first, second = make_admission(), make_pool(1), make_pool(1)
    second.name = "other"
    turn = admission.turn(ONE, make_meter())
    assert turn.enter(CALL, first) is CALL
    waiting = Caller(admission, first)
    await settle()
    assert turn.enter(CALL, second) is CALL
    await settle()
    assert waiting.is_in
    assert (admission.gate(first).in_flight, admission.gate(second).in_flight) == (1, 1)


async def test_pool_without_a_replica_lets_everybody_find_out_why() -> None:
    admission, pool = make_admission(), make_pool(1)
    pool.replicas[0].mark_failed("gone")
    callers = [Caller(admission, pool) for _ in range(3)]
    await settle()
    assert all(caller.is_in for caller in callers)


async def test_calls_that_wait_outlast_a_replica_that_comes_back() -> None:
    admission, pool = make_admission(), make_pool(1)
    first, waiting = Caller(admission, pool), Caller(admission, pool)
    await settle()
    pool.replicas[0].mark_failed("gone")
    first.turn.leave()
    await settle()
    assert not waiting.task.done()
    pool.replicas[0].mark_ready("mock", None)
    await asyncio.wait_for(waiting.task, 1)


async def test_calls_that_wait_for_a_lost_pool_find_out_at_their_deadline() -> None:
    admission, pool = make_admission(timeout_s=0.05), make_pool(1)
    Caller(admission, pool)
    waiting = Caller(admission, pool)
    await settle()
    pool.replicas[0].mark_failed("gone")
    await asyncio.wait([waiting.task])
    assert waiting.is_in


async def test_pool_that_grows_lets_more_in() -> None:
    admission, pool = make_admission(), make_pool(1, 1)
    pool.replicas[1].mark_failed("starts")
    Caller(admission, pool)
    waiting = Caller(admission, pool)
    await settle()
    assert not waiting.task.done()
    pool.replicas[1].mark_ready("mock", None)
    await asyncio.wait_for(waiting.task, 1)


async def test_tokens_in_flight_are_bounded_where_the_model_says_so() -> None:
    admission, pool = make_admission(), make_pool(100, max_in_flight_tokens=1000)
    big = Caller(admission, pool, tokens=1500)
    await settle()
    waiting = Caller(admission, pool, TWO, tokens=1)
    await settle()
    assert big.is_in
    assert not waiting.task.done()
    big.turn.leave()
    await settle()
    assert waiting.is_in


async def test_call_takes_a_place_for_each_sequence_and_gives_all_of_them_back() -> None:
    admission, pool = make_admission(is_shared=False), make_pool(8)
    first, second = Caller(admission, pool, sequences=5), Caller(admission, pool, sequences=5)
    waiting, gone = Caller(admission, pool), Caller(admission, pool, sequences=3)
    await settle()
    assert [caller.is_in for caller in (first, second, waiting, gone)] == [True, True, False, False]
    gate = admission.gate(pool)
    assert gate.in_flight == 10
    first.turn.leave()
    gone.task.cancel()
    await settle()
    assert (waiting.is_in, gate.in_flight) == (True, 6)
    for caller in (second, waiting):
        caller.turn.leave()
    assert gate.in_flight == 0


async def test_call_of_more_sequences_than_there_are_places_goes_and_lets_nobody_in_beside_it() -> None:
    admission, pool = make_admission(is_shared=False), make_pool(4)
    before = Caller(admission, pool)
    heavy = Caller(admission, pool, sequences=1000)
    waiting = Caller(admission, pool)
    await settle()
    gate = admission.gate(pool)
    assert (heavy.is_in, waiting.is_in, gate.in_flight) == (True, False, 5)
    before.turn.leave()
    await settle()
    assert not waiting.is_in, "the heavy one alone takes every place"
    heavy.turn.leave()
    await settle()
    assert (waiting.is_in, gate.in_flight) == (True, 1)


async def test_heavy_call_takes_no_more_than_the_replica_that_it_goes_to() -> None:
    admission, pool = make_admission(is_shared=False), make_pool(4, 4)
    heavy, other = Caller(admission, pool, sequences=1000), Caller(admission, pool)
    await settle()
    assert (heavy.is_in, other.is_in, admission.gate(pool).in_flight) == (True, True, 5)
    admission.change(dataclasses.replace(RULES, is_shared=False), {"mock": make_pool(2)})
    heavy.turn.leave()
    other.turn.leave()
    assert admission.gate(pool).in_flight == 0, "what it gives back is what it took"


async def test_new_configuration_keeps_what_is_in_flight_and_what_waits() -> None:
    admission, old = make_admission(), make_pool(1)
    first, waiting = Caller(admission, old), Caller(admission, old)
    await settle()
    new = make_pool(2)
    old.successor = new
    admission.change(dataclasses.replace(RULES, max_queued=0), {"mock": new})
    await asyncio.wait_for(waiting.task, 1)
    assert admission.gate(old) is admission.gate(new)
    refused = Caller(admission, new)
    await settle()
    assert isinstance(refused.error, QueueFullError)
    for caller in (first, waiting):
        caller.turn.leave()
    admission.change(RULES, {})
    assert not list(admission.capacities())


async def test_call_of_a_pool_that_was_removed_and_is_back_goes_by_the_new_one() -> None:
    admission, removed, back = make_admission(), make_pool(1), make_pool(5)
    turn = admission.turn(Principal("p"), make_meter())
    admission.change(RULES, {})
    admission.change(RULES, {"mock": back})
    assert turn.enter(CALL, removed) is not None
    assert admission.gate(back).pool is back
    live = admission.gate(back)
    assert admission.gate(removed) is live
    assert live.pool is back
    turn.leave()


async def test_principals_that_come_and_go_are_forgotten() -> None:
    admission, pool = make_admission(), make_pool(10)
    for number in range(5000):
        turn = admission.turn(Principal(f"p{number}"), make_meter())
        turn.enter(CALL, pool)
        turn.leave()
    assert len(admission.gate(pool)._holders) <= 4096


class TestWorkers:
    """Two workers of one gateway, in one process."""

    @staticmethod
    def admissions(folder: Path, **rules: Any) -> list[Admission]:
        boards = [SharedBoard(Seat(folder, slot, 2)) for slot in range(2)]
        return [
            Admission(dataclasses.replace(RULES, **rules), Metrics(), board=board, workers=2)
            for board in boards
        ]

    async def test_places_of_a_pool_are_shared(self, tmp_path: Path) -> None:
        first, second = self.admissions(tmp_path)
        pools = [make_pool(10) for _ in range(2)]
        callers = [Caller(first, pools[0]) for _ in range(7)]
        await settle()
        callers += [Caller(second, pools[1]) for _ in range(7)]
        await settle()
        assert sum(caller.is_in for caller in callers) == 10
        for caller in callers:
            caller.task.cancel()
            caller.turn.leave()
        await settle()
        gc.collect()

    async def test_sequences_of_one_worker_are_seen_by_the_other(self, tmp_path: Path) -> None:
        first, second = self.admissions(tmp_path)
        pools = [make_pool(10) for _ in range(2)]
        heavy = Caller(first, pools[0], sequences=10)
        await settle()
        waiting = Caller(second, pools[1])
        await settle()
        assert (heavy.is_in, waiting.is_in) == (True, False)
        heavy.turn.leave()
        await asyncio.wait_for(waiting.task, 1)
        waiting.turn.leave()

    async def test_place_that_one_worker_gives_back_is_taken_by_another(self, tmp_path: Path) -> None:
        first, second = self.admissions(tmp_path)
        pools = [make_pool(1) for _ in range(2)]
        holder = Caller(first, pools[0])
        await settle()
        waiting = Caller(second, pools[1])
        await settle()
        assert not waiting.task.done()
        holder.turn.leave()
        await asyncio.wait_for(waiting.task, 1)
        assert second.gate(pools[1]).in_flight == 1
        waiting.turn.leave()

    async def test_worker_with_a_backlog_lets_the_other_one_have_its_share(self, tmp_path: Path) -> None:
        first, second = self.admissions(tmp_path)
        pools = [make_pool(4) for _ in range(2)]
        running = [Caller(first, pools[0]) for _ in range(4)]
        backlog = [Caller(first, pools[0]) for _ in range(20)]
        await settle()
        others = [Caller(second, pools[1]) for _ in range(4)]
        await settle()
        for caller in running:
            caller.turn.leave()
            await asyncio.sleep(0.02)
        assert sum(caller.is_in for caller in others) == 2
        assert sum(caller.is_in for caller in backlog) == 2
        for caller in (*backlog, *others):
            caller.task.cancel()


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_depth_and_capacity_are_shown_for_each_model(priority: str) -> None:
    admission, pool = make_admission(), make_pool(3, 4)
    admission.gate(pool)
    assert (("mock", priority), 0) in list(admission.depths())
    assert list(admission.capacities()) == [(("mock",), 7)]
