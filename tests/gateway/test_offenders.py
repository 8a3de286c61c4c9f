"""Whose calls are not tried again, and for how long."""

from __future__ import annotations

from lmaas_gateway.routing.offenders import Offenders


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_mark_lasts_a_second_and_twice_as_long_each_time_up_to_half_a_minute() -> None:
    clock = Clock()
    offenders = Offenders(clock)
    lengths = []
    for _ in range(8):
        offenders.mark("pool", "who")
        length_s = 0
        while offenders.is_marked("pool", "who"):
            clock.now_s += 1
            length_s += 1
        lengths.append(length_s)
    assert lengths == [1, 2, 4, 8, 16, 30, 30, 30]


def test_calls_that_were_under_way_together_are_one_offence() -> None:
    clock = Clock()
    offenders = Offenders(clock)
    for _ in range(200):
        offenders.mark("pool", "who")
    clock.now_s += 1
    assert not offenders.is_marked("pool", "who")


def test_marks_are_of_one_caller_in_one_pool() -> None:
    offenders = Offenders(Clock())
    offenders.mark("pool", "who")
    assert not offenders.is_marked("pool", "other")
    assert not offenders.is_marked("other", "who")


def test_call_that_another_replica_answers_clears_a_caller() -> None:
    offenders = Offenders(Clock())
    offenders.mark("pool", "who")
    offenders.clear("pool", "who")
    assert not offenders.is_marked("pool", "who")


def test_memory_is_bounded() -> None:
    offenders = Offenders(Clock())
    for index in range(5000):
        offenders.mark("pool", str(index))
    assert not offenders.is_marked("pool", "0")
    assert offenders.is_marked("pool", "4999")
    assert sum(offenders.is_marked("pool", str(index)) for index in range(5000)) == 1024
