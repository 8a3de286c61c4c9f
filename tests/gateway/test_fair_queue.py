"""Who is next: the queue alone, without clock and loop."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lmaas_gateway.admission.fair_queue import LANES, FairQueue, Holder, Ticket, lane_of

if TYPE_CHECKING:
    from collections.abc import Callable

HIGH, NORMAL, LOW = range(3)


def anybody(ticket: Ticket) -> bool:
    return True


def put(queue: FairQueue, holder: Holder, tokens: int = 1, lane: int = NORMAL) -> Ticket:
    ticket = Ticket(holder, lane, tokens, joined_s=0, expires_s=10)
    queue.push(ticket)
    return ticket


def take(queue: FairQueue, may_go: Callable[[Ticket], bool] = anybody) -> Ticket:
    ticket = queue.next(may_go)
    assert ticket is not None
    return ticket


@pytest.mark.parametrize(("priority", "lane"), [(-7, HIGH), (-1, HIGH), (0, NORMAL), (1, LOW), (99, LOW)])
def test_lower_priorities_come_in_earlier_lanes(priority: int, lane: int) -> None:
    assert lane_of(priority) == lane


def test_calls_of_one_principal_keep_their_order() -> None:
    queue, holder = FairQueue(), Holder(1)
    tickets = [put(queue, holder, tokens) for tokens in (100, 1, 50)]
    assert [take(queue) for _ in tickets] == tickets
    assert queue.next(anybody) is None


def test_principal_that_comes_later_waits_for_one_call_only() -> None:
    queue, noisy, quiet = FairQueue(), Holder(1), Holder(1)
    for _ in range(1000):
        put(queue, noisy, 100)
    for _ in range(10):
        take(queue)
    late = put(queue, quiet, 5000)
    assert late in (take(queue), take(queue))


def test_principal_with_nothing_in_flight_goes_before_one_with_an_equal_claim() -> None:
    queue, noisy, quiet = FairQueue(), Holder(1), Holder(1)
    noisy.places = 5
    put(queue, noisy)
    expected = put(queue, quiet)
    assert take(queue) is expected


def test_principal_that_was_idle_saves_up_no_claim() -> None:
    queue, busy, idle = FairQueue(), Holder(1), Holder(1)
    for _ in range(100):
        put(queue, busy)
        take(queue)
    for _ in range(20):
        put(queue, busy)
        put(queue, idle)
    first = Counter(take(queue).holder for _ in range(20))
    assert abs(first[busy] - first[idle]) <= 1


def test_lanes_go_in_their_order() -> None:
    queue, holder = FairQueue(), Holder(1)
    tickets = [put(queue, holder, lane=lane) for lane in (LOW, NORMAL, HIGH)]
    assert [take(queue) for _ in tickets] == tickets[::-1]


def test_principal_that_may_not_go_is_passed_over_and_keeps_its_turn() -> None:
    queue, full, other = FairQueue(), Holder(1), Holder(1)
    first = put(queue, full)
    put(queue, other)
    put(queue, other)
    assert take(queue, lambda ticket: ticket.holder is other).holder is other
    assert take(queue) is first


def test_later_lane_goes_while_nobody_of_the_first_may() -> None:
    queue, full, other = FairQueue(), Holder(1), Holder(1)
    put(queue, full, lane=HIGH)
    low = put(queue, other, lane=LOW)
    assert take(queue, lambda ticket: ticket.holder is other) is low


def test_removed_call_costs_its_principal_nothing() -> None:
    queue, one, two = FairQueue(), Holder(1), Holder(1)
    gone = put(queue, one, 10_000)
    stays = put(queue, one)
    put(queue, two)
    queue.remove(gone)
    assert take(queue) is stays
    assert (one.queued, two.queued, queue.depth) == (0, 1, 1)


def test_principal_whose_calls_were_all_removed_can_come_again() -> None:
    queue, holder = FairQueue(), Holder(1)
    queue.remove(put(queue, holder))
    again = put(queue, holder)
    assert take(queue) is again
    queue.remove(put(queue, holder))
    assert queue.next(anybody) is None
    assert queue.depth == 0


class TestShedding:
    def test_youngest_of_the_last_lane_makes_way(self) -> None:
        queue, holder = FairQueue(), Holder(1)
        put(queue, holder, lane=LOW)
        youngest = put(queue, Holder(1), lane=LOW)
        put(queue, holder, lane=NORMAL)
        assert queue.shed(HIGH) is youngest
        assert not youngest.is_waiting

    def test_none_makes_way_for_its_own_lane(self) -> None:
        queue = FairQueue()
        put(queue, Holder(1), lane=NORMAL)
        assert queue.shed(NORMAL) is None
        assert queue.shed(LOW) is None
        assert queue.depth == 1


class TestPosition:
    def test_newcomer_waits_for_one_call_of_each_other_principal_at_most(self) -> None:
        queue, noisy = FairQueue(), Holder(1)
        for _ in range(50):
            put(queue, noisy)
        assert queue.position(Holder(1), NORMAL) == 2
        assert queue.position(noisy, NORMAL) == 51

    def test_earlier_lanes_go_first(self) -> None:
        queue, holder = FairQueue(), Holder(1)
        for lane in (HIGH, HIGH, NORMAL, LOW):
            put(queue, holder, lane=lane)
        assert [queue.position(Holder(1), lane) for lane in (HIGH, NORMAL, LOW)] == [2, 4, 5]

    def test_weight_shortens_the_way(self) -> None:
        queue, heavy, light = FairQueue(), Holder(3), Holder(1)
        for _ in range(10):
            put(queue, heavy)
            put(queue, light)
        assert queue.position(heavy, NORMAL) < queue.position(light, NORMAL)

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=40))
    def test_estimate_is_a_place_in_the_queue(self, calls: list[tuple[int, int]]) -> None:
        queue, holders = FairQueue(), [Holder(weight) for weight in (0.5, 1, 2, 5)]
        for holder, lane in calls:
            put(queue, holders[holder], lane=lane)
        for holder in [*range(4)]:
            for lane in range(3):
                assert 1 <= queue.position(holders[holder], lane) <= queue.depth + 1


@given(
    weights=st.lists(st.floats(0.1, 10), min_size=2, max_size=5),
    sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=10),
)
@settings(max_examples=60)
def test_tokens_of_backlogged_principals_are_as_their_weights(weights: list[float], sizes: list[int]) -> None:
    queue = FairQueue()
    holders = [Holder(weight) for weight in weights]
    served: Counter[Holder] = Counter()
    for holder in holders:
        for index in range(2):
            put(queue, holder, sizes[index % len(sizes)])
    for turn in range(600):
        ticket = take(queue)
        served[ticket.holder] += ticket.tokens
        # Backlogged all the time: another one comes for each that goes.
        put(queue, ticket.holder, sizes[turn % len(sizes)])
    claims = [served[holder] / holder.weight for holder in holders]
    # The bound of start-time fair queueing: one largest call of each, in virtual time.
    slack = max(sizes) / min(weights)
    assert max(claims) - min(claims) <= 2 * slack


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=30), st.integers(1, 10_000))
def test_nobody_of_the_lane_starves(noise: list[int], own: int) -> None:
    """However big one's call and however small the others', it goes after a bounded number of turns."""
    queue, patient, noisy = FairQueue(), Holder(1), Holder(1)
    for tokens in noise:
        put(queue, noisy, tokens)
    put(queue, patient, own)
    mine = put(queue, patient, 1)
    for turn in range(20_000):
        ticket = take(queue)
        if ticket is mine:
            break
        if ticket.holder is noisy:
            put(queue, noisy, noise[turn % len(noise)])
    else:
        pytest.fail("never served")


class QueueMachine(RuleBasedStateMachine):
    """Any order of pushing, removing, serving and shedding, against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.holders = [Holder(weight) for weight in (0.5, 1, 1, 4)]
        self.waiting: list[Ticket] = []

    @rule(holder=st.integers(0, 3), lane=st.integers(0, 2), tokens=st.integers(1, 500))
    def push(self, holder: int, lane: int, tokens: int) -> None:
        self.waiting.append(put(self.queue, self.holders[holder], tokens, lane))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        self.queue.remove(ticket)
        self.waiting.remove(ticket)

    @rule(allowed=st.sets(st.integers(0, 3)))
    def serve(self, allowed: set[int]) -> None:
        may = {self.holders[index] for index in allowed}
        ticket = self.queue.next(lambda ticket: ticket.holder in may)
        able = [waiting for waiting in self.waiting if waiting.holder in may]
        if ticket is None:
            assert not able
            return
        assert ticket in able
        assert ticket.lane == min(waiting.lane for waiting in able)
        own = [other for other in self.waiting if (other.holder, other.lane) == (ticket.holder, ticket.lane)]
        assert own[0] is ticket
        self.waiting.remove(ticket)

    @rule(lane=st.integers(0, 2))
    def shed(self, lane: int) -> None:
        ticket = self.queue.shed(lane)
        lower = [waiting for waiting in self.waiting if waiting.lane > lane]
        assert (ticket is None) == (not lower)
        if ticket is not None:
            assert ticket.lane == max(waiting.lane for waiting in lower)
            self.waiting.remove(ticket)

    @invariant()
    def holds_what_waits(self) -> None:
        assert sorted(map(id, self.queue)) == sorted(map(id, self.waiting))
        assert self.queue.depth == len(self.waiting)
        assert all(ticket.is_waiting for ticket in self.waiting)
        for lane in range(len(LANES)):
            assert self.queue.depth_of(lane) == sum(ticket.lane == lane for ticket in self.waiting)
        for holder in self.holders:
            assert holder.queued == sum(ticket.holder is holder for ticket in self.waiting)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=40, stateful_step_count=40)
