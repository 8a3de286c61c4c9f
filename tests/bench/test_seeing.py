"""The section on being seen: the whole of it in small, and verdicts that are those of its figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import seeing
from bench.seen_calls import Comparison, SeenCalls, Turns
from bench.seen_site import PageTimes
from bench.viewer_turns import Turn

TINY = seeing.Extent(
    calls=Turns(starts=1, comparisons=2, calls=32, stream_comparisons=1, streams=1, warm_calls=2),
    turn_s=1.0,
    turns=1,
    viewers=2,
    rows=10_000,
    times=2,
)


def turn_of(viewers: int, cpu_share: float, *, failed_calls: int = 0) -> Turn:
    return Turn(
        viewers=viewers,
        seconds=20,
        cpu_share=cpu_share,
        events=20 * viewers,
        event_bytes=9_000,
        calls=400,
        failed_calls=failed_calls,
    )


def compared(seen_us: float, *, errors: int = 0) -> Comparison:
    return Comparison(seen_us=seen_us, unseen_us=100, errors=errors)


def page_of(name: str, worst_s: float) -> PageTimes:
    return PageTimes(name=name, times=20, p50_s=worst_s / 2, worst_s=worst_s, page_bytes=20_000)


SEEN = seeing.Seen(
    calls=SeenCalls(
        calls=(compared(105), compared(120), compared(99)), events=(compared(101),), traces=7, spans=14
    ),
    turns=(turn_of(0, 0.01), turn_of(50, 0.04), turn_of(50, 0.08), turn_of(0, 0.03)),
    pages=(page_of("dashboard", 0.1), page_of("last calls", 1.2)),
    rows=10_000_000,
)


def test_figures_are_held_against_the_goals() -> None:
    grown, viewers, slowest, failed = seeing.judge(SEEN)
    assert grown.measured == pytest.approx(5), "not the median of its comparisons"
    assert viewers.measured == pytest.approx(4), "not the median of its pairs"
    assert (grown.word, viewers.word) == ("met", "met")
    assert (slowest.measured, slowest.word) == (1.2, "**missed**")
    assert (failed.measured, failed.word) == (0, "met")


def test_calls_that_fail_while_it_is_measured_are_told() -> None:
    calls = replace(SEEN.calls, calls=(compared(100, errors=2), *SEEN.calls.calls[1:]))
    turns = (turn_of(0, 0.01, failed_calls=1), *SEEN.turns[1:])
    assert seeing.judge(replace(SEEN, calls=calls, turns=turns))[-1].measured == 3


def test_page_says_what_is_off_and_what_cannot_be() -> None:
    text = seeing.describe(SEEN)
    assert "Metrics are counted in both" in text
    assert "| CPU µs per plain call | 105.0 (99.0 to 120.0) | 100.0 (100.0 to 100.0) | 1.050" in text
    assert "it is +5.0%, and the true one lies between -1.0% and +20.0%" in text
    assert "viewers add 4.00% of a core" in text
    assert "| last calls | 0.600 | 1.200 | 20 |" in text


def test_all_of_it_is_measured_in_small() -> None:
    said: list[str] = []
    seen = seeing.measure_extent(TINY, said.append)
    assert (len(seen.calls.calls), len(seen.calls.events)) == (2, 1)
    assert all(one.seen_us > 0 < one.unseen_us for one in seen.calls.calls)
    alone, watched = seen.turns
    assert (alone.viewers, alone.events) == (0, 0)
    assert watched.events >= 2, "viewers see nothing"
    assert alone.calls > 0
    assert seen.failed_calls == 0
    assert {page.times for page in seen.pages} == {2}
    assert seeing.describe(seen)
