"""When a replica that passes its health checks is taken out of service, and when it comes back."""

from __future__ import annotations

import pytest

from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.breaker import Breaker
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.pool import Pool, Replica
from lmaas_gateway.replicas.retry_budget import RetryBudget
from lmaas_gateway.settings import EjectionSettings, TimeoutSettings


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pool_of(count: int, clock: Clock, rules: EjectionSettings | None = None) -> Pool:
    rules = rules or EjectionSettings()
    replicas = tuple(
        Replica(
            f"r{index}",
            ReplicaClient(Address("127.0.0.1", 1), timeouts=TimeoutSettings()),
            breaker=Breaker(rules, clock),
        )
        for index in range(count)
    )
    for replica in replicas:
        replica.mark_ready("mock", 2048)
    return Pool("mock", "chat", replicas, 0, ejection=rules)


def fail(pool: Pool, replica: Replica, times: int = 5) -> list[bool]:
    return [pool.note_failure(replica) for _ in range(times)]


class TestVerdict:
    def test_five_failures_in_a_row_are_too_many(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        assert [breaker.note_failure() for _ in range(5)] == [False] * 4 + [True]
        assert breaker.is_suspect

    def test_a_success_between_begins_the_row_anew(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        for _ in range(4):
            assert not breaker.note_failure()
        breaker.note_success()
        assert not breaker.note_failure()
        assert not breaker.is_suspect

    def test_more_than_half_of_twenty_calls_is_too_many(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        verdicts = []
        for _ in range(12):
            verdicts += [breaker.note_failure(), breaker.note_failure()]
            breaker.note_success()
        # Two of three fail: with the 15th failure, 20 calls have ended since the first one.
        assert verdicts.index(True) == 14

    def test_half_of_the_calls_is_not(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        for _ in range(100):
            breaker.note_success()
            assert not breaker.note_failure()

    def test_what_was_long_ago_does_not_count(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        for _ in range(30):
            clock.now_s += 10
            assert not breaker.note_failure()
            assert not breaker.note_failure()
            breaker.note_success()


class TestDoubts:
    def test_five_in_a_row_ask_for_a_trial_and_eject_nobody(self, clock: Clock) -> None:
        pool = pool_of(2, clock)
        replica = pool.replicas[0]
        for _ in range(50):
            pool.note_doubt(replica)
        assert replica.alarm.is_set()
        assert (replica.state, replica.breaker.is_suspect) == ("ready", True)

    def test_call_that_goes_well_ends_them(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        assert not any(breaker.note_doubt() for _ in range(4))
        breaker.note_success()
        assert not breaker.note_doubt()
        assert breaker.doubts == 1

    def test_trial_that_passes_ends_them(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        assert [breaker.note_doubt() for _ in range(5)] == [False] * 4 + [True]
        breaker.settle(is_well=True)
        assert (breaker.doubts, breaker.is_trusted, breaker.is_suspect) == (0, True, False)

    def test_trial_that_fails_ends_the_trust(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        for _ in range(5):
            breaker.note_doubt()
        breaker.settle(is_well=False)
        assert (breaker.doubts, breaker.is_trusted) == (0, False)
        assert [breaker.note_failure() for _ in range(4)] == [False] * 3 + [True]

    def test_failure_of_another_kind_does_not_end_the_trust(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        breaker.note_failure()
        assert breaker.is_trusted

    def test_call_that_goes_well_after_a_failed_trial_brings_the_trust_back(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        breaker.settle(is_well=False)
        assert not breaker.is_trusted
        breaker.note_success()
        breaker.note_failure()
        assert breaker.is_trusted

    def test_bad_calls_cause_one_trial_a_second(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        breaker.settle(is_well=True)
        assert sum(breaker.note_doubt() for _ in range(50)) == 1
        assert not breaker.is_trial_due
        clock.now_s += 1
        assert breaker.is_trial_due


class TestEjection:
    def test_ejected_replica_takes_no_calls(self, clock: Clock) -> None:
        pool = pool_of(3, clock)
        bad, *good = pool.replicas
        assert fail(pool, bad) == [False] * 4 + [True]
        assert pool.candidates(()) == good
        assert (bad.state, pool.state) == ("ejected", "degraded")

    def test_calls_that_were_under_way_do_not_eject_it_again(self, clock: Clock) -> None:
        pool = pool_of(3, clock)
        assert sum(fail(pool, pool.replicas[0], 50)) == 1
        assert pool.replicas[0].breaker.ejections == 1

    @pytest.mark.parametrize(("count", "ejected"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
    def test_never_more_than_half_of_a_pool(self, clock: Clock, count: int, ejected: int) -> None:
        pool = pool_of(count, clock)
        for replica in pool.replicas:
            fail(pool, replica)
        assert sum(replica.breaker.is_ejected for replica in pool.replicas) == ejected
        assert len(pool.candidates(())) == count - ejected

    def test_where_no_other_is_left_ejected_ones_serve(self, clock: Clock) -> None:
        pool = pool_of(2, clock)
        bad, good = pool.replicas
        fail(pool, bad)
        good.mark_failed("gone")
        assert pool.candidates(()) == [bad]
        good.mark_ready("mock", 2048)
        assert pool.candidates(()) == [good]

    def test_where_too_few_are_left_ejected_ones_serve_too(self, clock: Clock) -> None:
        pool = pool_of(8, clock)
        for replica in pool.replicas[:4]:
            fail(pool, replica)
        for replica in pool.replicas[4:7]:
            replica.mark_failed("gone")
        assert len(pool.candidates(())) == 5

    def test_replicas_that_drain_are_no_part_of_the_pool(self, clock: Clock) -> None:
        pool = pool_of(8, clock)
        for replica in pool.replicas[2:]:
            replica.is_draining = True
        first, second = pool.replicas[:2]
        fail(pool, first)
        fail(pool, second)
        assert (first.breaker.is_ejected, second.breaker.is_ejected) == (True, False)
        assert pool.candidates(()) == [second]

    def test_replica_that_was_tried_is_no_reason_to_panic(self, clock: Clock) -> None:
        pool = pool_of(2, clock)
        bad, good = pool.replicas
        fail(pool, bad)
        assert pool.candidates([good]) == []

    def test_time_alone_does_not_bring_it_back(self, clock: Clock) -> None:
        pool = pool_of(2, clock)
        fail(pool, pool.replicas[0])
        dues = []
        for _ in range(2):
            dues.append(pool.replicas[0].breaker.is_probe_due)
            clock.now_s += 30
        assert dues == [False, True]
        assert pool.candidates(()) == [pool.replicas[1]]

    def test_probe_that_passes_brings_it_back_with_a_clean_record(self, clock: Clock) -> None:
        pool = pool_of(2, clock)
        bad = pool.replicas[0]
        fail(pool, bad)
        bad.breaker.readmit()
        assert pool.candidates(()) == list(pool.replicas)
        assert fail(pool, bad, 4) == [False] * 4
        assert pool.state == "ready"

    def test_each_ejection_in_a_row_is_longer_up_to_a_cap(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        lengths = []
        for _ in range(12):
            breaker.eject()
            lengths.append(breaker.remaining_s())
            breaker.readmit()
        assert lengths[:3] == [30, 60, 90]
        assert lengths[-1] == 300
        clock.now_s += 301
        breaker.eject()
        assert breaker.remaining_s() == 30

    def test_failed_probe_extends_it(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        breaker.eject()
        clock.now_s += 30
        breaker.extend()
        assert breaker.remaining_s() == 60
        assert not breaker.is_probe_due
        assert breaker.ejections == 1

    def test_rules_can_change(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        breaker.follow(EjectionSettings(consecutive_failures=1))
        assert breaker.note_failure()


class TestPauses:
    def test_replica_that_asks_for_a_pause_gets_it(self, clock: Clock) -> None:
        pool = pool_of(2, clock)
        asking, other = pool.replicas
        asking.breaker.cool(5)
        assert pool.candidates(()) == [other]
        assert (asking.state, pool.retry_after_s()) == ("cooling", 5)
        clock.now_s += 5
        assert pool.candidates(()) == [asking, other]
        assert not asking.breaker.is_tripped

    def test_no_longer_than_the_cap(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        breaker.cool(1e9)
        assert breaker.remaining_s() == 30

    def test_shorter_wish_does_not_end_a_longer_one(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        breaker.cool(10)
        breaker.cool(1)
        assert breaker.remaining_s() == 10

    def test_pause_outlasts_a_readmission(self, clock: Clock) -> None:
        breaker = Breaker(clock=clock)
        breaker.eject()
        breaker.cool(20)
        breaker.readmit()
        assert breaker.is_tripped
        assert breaker.is_cooling()

    def test_pool_knows_the_first_end_of_a_pause(self, clock: Clock) -> None:
        pool = pool_of(3, clock)
        assert pool.retry_after_s() == 0
        for seconds, replica in enumerate(pool.replicas, start=3):
            replica.breaker.cool(seconds)
        assert pool.candidates(()) == []
        assert pool.retry_after_s() == 3


class TestRetryBudget:
    def test_holds_enough_for_the_calls_of_a_replica_that_dies(self) -> None:
        budget = RetryBudget()
        assert all(budget.take() for _ in range(500))
        assert not budget.take()

    def test_successes_earn_a_tenth_each(self) -> None:
        budget = RetryBudget(burst=1)
        assert budget.take()
        for _ in range(9):
            budget.note_success()
        assert not budget.take()
        budget.note_success()
        budget.note_success()
        assert budget.take()

    def test_takes_back_what_no_replica_could_have_answered(self) -> None:
        budget = RetryBudget(burst=2)
        assert budget.take()
        budget.give_back()
        budget.give_back()
        assert budget.tokens == 2

    def test_never_holds_more_than_its_burst(self) -> None:
        budget = RetryBudget(burst=2)
        for _ in range(100):
            budget.note_success()
        assert budget.tokens == 2

    def test_new_configuration_gives_no_new_retries(self) -> None:
        budget = RetryBudget(burst=3)
        budget.follow(percent=10, burst=100)
        assert budget.tokens == 3
        budget.follow(percent=10, burst=2)
        assert budget.tokens == 2
