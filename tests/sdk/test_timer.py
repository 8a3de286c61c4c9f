from __future__ import annotations

from dataclasses import dataclass

import pytest

from lmaas import Timeout
from lmaas._timer import Timer


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_call_without_deadlines_has_no_end() -> None:
    assert Timer(Timeout.of(None), Clock(), is_stream=True).remaining_s() is None


def test_total_counts_from_the_call_whatever_happens() -> None:
    clock = Clock()
    timer = Timer(Timeout(total=10, inter_token=5), clock, is_stream=True)
    clock.now += 8
    timer.await_next_event()
    assert timer.remaining_s() == pytest.approx(2)
    clock.now += 3
    error = timer.error()
    assert error.deadline == "total"
    assert timer.remaining_s() == pytest.approx(-1)
    assert "within 10 s (timeout `total`; 11.0 s since the call)" in error.message


def test_first_event_has_its_own_timer_in_streams_only() -> None:
    timeout = Timeout(total=100, first_token=3)
    assert Timer(timeout, Clock(), is_stream=True).remaining_s() == pytest.approx(3)
    assert Timer(timeout, Clock(), is_stream=True).error().deadline == "first_token"
    assert Timer(timeout, Clock(), is_stream=False).remaining_s() == pytest.approx(100)


def test_each_event_starts_the_inter_token_timer_anew() -> None:
    clock = Clock()
    timer = Timer(Timeout(total=None, inter_token=4), clock, is_stream=True)
    for _ in range(3):
        clock.now += 3
        timer.await_next_event()
    assert timer.remaining_s() == pytest.approx(4)
    assert timer.error().deadline == "inter_token"


def test_without_inter_token_deadline_the_first_token_timer_ends_with_the_first_event() -> None:
    timer = Timer(Timeout(total=None, first_token=1, inter_token=None), Clock(), is_stream=True)
    timer.await_next_event()
    assert timer.remaining_s() is None


def test_the_end_can_be_brought_near() -> None:
    timer = Timer(Timeout(), Clock(), is_stream=True)
    timer.allow_at_most(0.25)
    assert timer.remaining_s() == pytest.approx(0.25)


def test_pool_and_connect_are_named_with_their_limits() -> None:
    timer = Timer(Timeout(total=30, connect=2), Clock(), is_stream=False)
    assert "within 30 s (timeout `pool`" in timer.error("pool").message
    assert "within 2 s (timeout `connect`" in timer.error("connect").message
