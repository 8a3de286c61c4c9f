"""What goes, what waits, what is refused: decided without loop and clock."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lmaas_gateway.admission.drain import DrainRate
from lmaas_gateway.admission.fair_queue import Holder, Ticket
from lmaas_gateway.admission.line import Line, Refusal, Rules

HIGH, NORMAL, LOW = range(3)
RULES = Rules(max_queued=10, timeout_s=10, reserve=0.1, is_shared=True)
ALONE = dataclasses.replace(RULES, is_shared=False)


def line_of(capacity: int, rules: Rules = RULES) -> Line:
    line = Line(rules)
    line.resize(capacity)
    return line


def ticket_of(
    holder: Holder, lane: int = NORMAL, *, now_s: float = 0, tokens: int = 1, places: int = 1
) -> Ticket:
    expires_s = now_s + RULES.timeout_s
    return Ticket(holder, lane, tokens, joined_s=now_s, expires_s=expires_s, places=places)


def join(line: Line, holder: Holder, lane: int = NORMAL, *, now_s: float = 0) -> Refusal | Ticket | None:
    return line.join(ticket_of(holder, lane, now_s=now_s), now_s)


def fill(line: Line, holder: Holder, places: int = 1) -> int:
    """Let calls of `holder` go until no further one may; tell how many places they take."""
    while line.may_go(ticket_of(holder, places=places)):
        line.enter(holder, 1, places)
    return holder.places


def drain(line: Line, holder: Holder, per_second: float, *, seconds: int = 10) -> None:
    """Have the line see `per_second` calls end, each replaced by another one, while some wait."""
    for second in range(seconds):
        for _ in range(int(per_second)):
            line.drain.count()
        line.drain.sample(second + 1.0)


class TestRoom:
    def test_only_principal_there_is_may_take_every_place(self) -> None:
        assert fill(line_of(20, ALONE), Holder(1)) == 20

    def test_last_places_are_kept_for_principals_that_hold_little(self) -> None:
        line, noisy, quiet = line_of(20), Holder(1), Holder(1)
        assert fill(line, noisy) == 18
        assert fill(line, quiet) == 2

    def test_small_pool_keeps_no_place(self) -> None:
        assert fill(line_of(9), Holder(1)) == 9

    def test_places_that_others_processes_use_are_not_free(self) -> None:
        line = Line(ALONE)
        line.resize(20, elsewhere=15)
        assert fill(line, Holder(1)) == 5

    def test_process_takes_its_share_only_while_others_wait(self) -> None:
        line = Line(ALONE)
        line.resize(20, elsewhere=5, share=10)
        assert fill(line, Holder(1)) == 10

    def test_nothing_goes_above_the_bound_of_tokens(self) -> None:
        line, holder = line_of(20, ALONE), Holder(1)
        line.max_tokens = 100
        line.enter(holder, 99)
        assert line.may_go(ticket_of(holder))
        line.enter(holder, 5000)
        assert not line.may_go(ticket_of(holder))
        line.leave(holder, 5000)
        assert line.may_go(ticket_of(holder))

    def test_call_takes_a_place_for_each_of_its_sequences(self) -> None:
        assert fill(line_of(20, ALONE), Holder(1), places=5) == 20

    def test_heaviest_call_goes_while_one_place_is_free_and_is_paid_for_before_the_next(self) -> None:
        line, holder = line_of(20, ALONE), Holder(1)
        line.enter(holder, 1, 19)
        assert line.may_go(ticket_of(holder, places=64))
        line.enter(holder, 1, 64)
        line.leave(holder, 1, 19)
        assert not line.may_go(ticket_of(holder)), "it has more than there is"
        line.leave(holder, 1, 64)
        assert (line.places, holder.places) == (0, 0)

    def test_heavy_call_takes_none_of_the_last_places(self) -> None:
        line, noisy, quiet = line_of(20), Holder(1), Holder(1)
        assert fill(line, noisy) == 18
        assert not line.may_go(ticket_of(quiet, places=3))
        assert line.may_go(ticket_of(quiet, places=2))


class TestRefusals:
    def test_queue_of_one_principal_is_full_at_its_bound(self) -> None:
        line, holder = line_of(0, ALONE), Holder(1)
        assert [join(line, holder) for _ in range(10)] == [None] * 10
        assert join(line, holder) == Refusal("queue_full", 11, None)
        assert line.queue.depth == 10

    def test_no_principal_fills_the_queue_for_the_others(self) -> None:
        line, noisy = line_of(0), Holder(1)
        answers = [join(line, noisy) for _ in range(10)]
        assert answers[:5] == [None] * 5
        assert answers[5] == Refusal("share_full", 6, None)
        assert join(line, Holder(1)) is None

    def test_weight_makes_the_share_larger(self) -> None:
        line, heavy = line_of(0), Holder(4)
        assert [join(line, heavy) for _ in range(9)].index(Refusal("share_full", 9, None)) == 8

    def test_full_queue_of_many_is_nobodys_own_fault(self) -> None:
        line = line_of(0)
        for _ in range(10):
            assert join(line, Holder(1)) is None
        assert join(line, Holder(1)) == Refusal("queue_full", 11, None)

    def test_youngest_call_of_a_lower_class_makes_way(self) -> None:
        line = line_of(0)
        tickets = [ticket_of(Holder(1), LOW) for _ in range(10)]
        for ticket in tickets:
            assert line.join(ticket, 0) is None
        assert join(line, Holder(1), LOW) == Refusal("queue_full", 11, None)
        assert join(line, Holder(1), NORMAL) is tickets[9]
        assert line.queue.depth == 10

    def test_call_that_would_wait_too_long_is_refused_at_once(self) -> None:
        line, holder = line_of(0, ALONE), Holder(1)
        for _ in range(5):
            assert join(line, holder) is None
        drain(line, holder, 1)
        # Five wait, one goes each second: the sixth would wait for 6 s of its 10.
        assert join(line, holder, now_s=10) is None
        line.rules = dataclasses.replace(ALONE, max_queued=100)
        answers = [join(line, holder, now_s=10) for _ in range(6)]
        assert answers[:4] == [None] * 4
        refusal = answers[5]
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.position) == ("wait_too_long", 11)
        assert refusal.wait_s == pytest.approx(11)

    @given(ended=st.integers(0, 10), within_s=st.floats(0.2, 1000), later_s=st.floats(0, 3600))
    def test_empty_queue_takes_a_call_however_slow_the_pool_last_was(
        self, ended: int, within_s: float, later_s: float
    ) -> None:
        line, holder = line_of(1, ALONE), Holder(1)
        waiting = ticket_of(holder)
        assert line.join(waiting, 0) is None
        for _ in range(ended):
            line.drain.count()
        line.drain.sample(within_s)
        line.queue.remove(waiting)
        assert join(line, holder, now_s=within_s + later_s) is None

    def test_wait_that_others_cause_is_not_the_newcomers(self) -> None:
        line, noisy, quiet = line_of(0), Holder(1), Holder(1)
        line.rules = dataclasses.replace(RULES, max_queued=1000)
        for _ in range(100):
            assert join(line, noisy) is None
        drain(line, noisy, 2)
        refusal = join(line, noisy, now_s=10)
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.position) == ("share_full", 101)
        assert refusal.wait_s == pytest.approx(50.5, rel=0.01)
        assert join(line, quiet, now_s=10) is None

    def test_queue_that_stands_is_kept_shorter_than_one_of_a_burst(self) -> None:
        line, holder = line_of(0, dataclasses.replace(ALONE, max_queued=1000)), Holder(1)
        assert join(line, holder) is None
        drain(line, holder, 10)
        while not isinstance(join(line, holder, now_s=9), Refusal):
            pass
        assert line.queue.depth == pytest.approx(100, abs=1)
        for _ in range(80):
            line.queue.remove(next(iter(line.queue)))
        while not isinstance(answer := join(line, holder, now_s=11), Refusal):
            pass
        assert answer.reason == "wait_too_long"
        assert line.queue.depth == pytest.approx(25, abs=1)
        for ticket in list(line.queue):
            line.queue.remove(ticket)
        assert [join(line, holder, now_s=12) for _ in range(50)] == [None] * 50


class TestDrainRate:
    def test_nothing_is_known_at_first(self) -> None:
        rate = DrainRate()
        assert rate.wait_s(1) is None
        rate.begin(0)
        rate.count()
        rate.count()
        rate.sample(1)
        assert rate.wait_s(1) is None

    def test_pace_is_that_of_the_time_in_which_calls_waited(self) -> None:
        rate = DrainRate()
        for start in (0, 1000):
            rate.begin(start)
            for tenth in range(1, 51):
                rate.count()
                rate.sample(start + tenth / 10)
        assert rate.wait_s(20) == pytest.approx(2)

    def test_pace_follows_a_change_within_seconds(self) -> None:
        rate = DrainRate()
        rate.begin(0)
        for second in range(1, 101):
            for _ in range(100 if second <= 50 else 10):
                rate.count()
            rate.sample(second)
            if second == 65:
                early = rate.wait_s(10)
        assert early is not None
        assert early > 0.5
        assert rate.wait_s(10) == pytest.approx(1, rel=0.05)

    def test_clock_that_stands_still_changes_nothing(self) -> None:
        rate = DrainRate()
        rate.begin(5)
        rate.count()
        rate.sample(5)
        assert rate.wait_s(1) is None


class LineMachine(RuleBasedStateMachine):
    """Calls come, wait, go, end, leave and expire in any order; none is lost, no bound is passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.capacity = 6
        self.line = line_of(self.capacity, dataclasses.replace(RULES, max_queued=8, reserve=0.2))
        self.holders = [Holder(weight) for weight in (0.5, 1, 4)]
        self.waiting: list[Ticket] = []
        self.running: list[Ticket] = []
        self.come = self.ended = 0

    def go(self) -> None:
        while (ticket := self.line.next()) is not None:
            assert self.line.places - ticket.places < self.capacity
            self.waiting.remove(ticket)
            self.running.append(ticket)

    @rule(
        holder=st.integers(0, 2), lane=st.integers(0, 2), tokens=st.integers(1, 100), places=st.integers(1, 9)
    )
    def arrive(self, holder: int, lane: int, tokens: int, places: int) -> None:
        ticket = ticket_of(self.holders[holder], lane, now_s=self.now_s, tokens=tokens, places=places)
        self.come += 1
        answer = self.line.join(ticket, self.now_s)
        if isinstance(answer, Refusal):
            self.ended += 1
            return
        self.waiting.append(ticket)
        if answer is not None:
            assert answer.lane > lane
            self.waiting.remove(answer)
            self.ended += 1
        self.go()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.running))
        self.running.remove(ticket)
        self.line.leave(ticket.holder, ticket.tokens, ticket.places)
        self.ended += 1
        self.go()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def depart(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(ticket)
        self.line.queue.remove(ticket)
        self.ended += 1

    @rule(seconds=st.floats(0.1, 8))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for ticket in self.line.expire(self.now_s):
            assert ticket.expires_s <= self.now_s
            self.waiting.remove(ticket)
            self.ended += 1

    @rule(capacity=st.integers(0, 12))
    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self.line.resize(capacity)
        self.go()

    @invariant()
    def every_call_is_somewhere(self) -> None:
        assert self.come == self.ended + len(self.waiting) + len(self.running)
        assert set(self.line.queue) == set(self.waiting)

    @invariant()
    def counts_are_true_and_bounds_hold(self) -> None:
        assert self.line.places == sum(ticket.places for ticket in self.running)
        assert self.line.tokens == sum(ticket.tokens for ticket in self.running)
        assert self.line.queue.depth <= 8
        for holder in self.holders:
            assert holder.places == sum(one.places for one in self.running if one.holder is holder)

    @invariant()
    def nobody_waits_who_may_go(self) -> None:
        assert not any(self.line.may_go(ticket) for ticket in self.waiting)


TestLineMachine = LineMachine.TestCase
TestLineMachine.settings = settings(max_examples=40, stateful_step_count=50)
