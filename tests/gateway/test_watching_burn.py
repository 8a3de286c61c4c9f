"""Burn rates and windows: the figures of the SRE workbook, and sums that are differences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.watching.burn import PAIRS, Counts, Objective, budget_left, burn_rate, judge
from lmaas_gateway.watching.history import Bars, Growth, History

DAY_S = 86400.0
HOUR_S = 3600.0
START_S = 1_800_000_000.0
OBJECTIVE = Objective("chat", "error_rate", 0.999, 30 * DAY_S)


def steady(bad_share: float) -> History:
    """Three days of a hundred calls a minute of which this share is bad."""
    history = History(30 * DAY_S, START_S)
    for minute in range(0, 3 * 24 * 60 + 1, 5):
        history.add(Counts(500 * bad_share, 500), START_S + minute * 60)
    return history


def judged(history: History, at_s: float, objective: Objective = OBJECTIVE) -> str | None:
    found = judge(objective, lambda window_s: history.counts(window_s, at_s))
    return None if found is None else f"{found.pair.name} {found.pair.severity}"


def test_factors_over_thirty_days_are_those_of_the_workbook() -> None:
    assert [
        (pair.name, pair.short_s, round(pair.factor(30 * DAY_S), 6), pair.severity) for pair in PAIRS
    ] == [
        ("1h", 300, 14.4, "page"),
        ("6h", 1800, 6.0, "page"),
        ("3d", 21600, 1.0, "ticket"),
    ]


def test_factors_follow_the_window_so_that_the_budget_share_stays() -> None:
    assert PAIRS[0].factor(7 * DAY_S) == pytest.approx(0.02 * 7 * 24)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, None),
        (0.0009, None),
        (0.0011, "3d ticket"),
        (0.0061, "6h page"),
        (0.0145, "1h page"),
        (1.0, "1h page"),
    ],
)
def test_steady_failures_burn_as_fast_as_their_share_says(share: float, expected: str | None) -> None:
    assert judged(steady(share), START_S + 3 * DAY_S) == expected


def test_outage_is_an_alert_as_soon_as_its_share_of_the_budget_is_gone() -> None:
    history = steady(0.0)
    at_s = START_S + 3 * DAY_S
    for second in range(70):
        history.add(Counts(100 / 60, 100 / 60), at_s + second)
        if judged(history, at_s + second):
            break
    assert 50 <= second <= 57, "14.4 thousandths of an hour are 51.84 s, and a bar is a minute"


def test_alert_ends_with_its_short_window_and_not_an_hour_later() -> None:
    history = steady(0.0)
    begin_s = START_S + 3 * DAY_S
    for second in range(120):
        history.add(Counts(2, 2), begin_s + second)
    assert judged(history, begin_s + 120) == "1h page"
    ended = None
    for minute in range(1, 60):
        at_s = begin_s + 120 + minute * 60
        history.add(Counts(0, 100), at_s)
        if ended is None and judged(history, at_s) is None:
            ended = minute
    assert ended is not None
    assert ended <= 30, "the page of an hour ends with 5 minutes, that of 6 hours with 30"


def test_few_calls_are_no_trend() -> None:
    history = History(30 * DAY_S, START_S)
    history.add(Counts(1, 2), START_S)
    careful = Objective("chat", "error_rate", 0.999, 30 * DAY_S, min_events=10)
    assert judged(history, START_S + 1, careful) is None
    assert judged(history, START_S + 1) == "1h page"


def test_time_of_which_nothing_is_known_was_well() -> None:
    availability = Objective("chat", "availability", 0.999, 30 * DAY_S)
    history = History(30 * DAY_S, START_S)
    history.add(Counts(50, 60), START_S)
    assert judged(history, START_S, availability) is None
    history.add(Counts(2, 2), START_S)
    assert judged(history, START_S, availability) == "1h page"


def test_nothing_counted_burns_nothing() -> None:
    history = History(30 * DAY_S, START_S)
    assert judged(history, START_S) is None
    assert burn_rate(Counts(), 0.99) == 0.0
    assert budget_left(OBJECTIVE, Counts()) == 1.0


def test_budget_is_what_may_still_go_wrong() -> None:
    assert budget_left(OBJECTIVE, Counts(5, 10_000)) == pytest.approx(0.5)
    assert budget_left(OBJECTIVE, Counts(20, 10_000)) == pytest.approx(-1.0)


@given(
    events=st.lists(st.tuples(st.floats(0, 20_000), st.integers(0, 9)), max_size=60),
    window_s=st.sampled_from([300.0, 3600.0]),
)
def test_window_holds_all_of_its_events_and_at_most_a_bar_more(
    events: list[tuple[float, int]], window_s: float
) -> None:
    bars = Bars.over(HOUR_S, START_S)
    events = sorted(events)
    for offset_s, bad in events:
        bars.add(Counts(bad, 10), START_S + offset_s)
    now_s = START_S + (events[-1][0] if events else 0)
    inside = sum(bad for offset_s, bad in events if START_S + offset_s >= now_s - window_s)
    beyond = sum(bad for offset_s, bad in events if START_S + offset_s >= now_s - window_s - bars.bar_s)
    assert inside <= round(bars.counts(window_s, now_s).bad) <= beyond
    assert len(bars.bad) <= 62


def test_window_after_a_long_silence_is_empty() -> None:
    bars = Bars.over(HOUR_S, START_S)
    bars.add(Counts(5, 5), START_S)
    assert bars.counts(HOUR_S, START_S + 3 * HOUR_S) == Counts()
    bars.add(Counts(1, 2), START_S + 100 * HOUR_S)
    assert bars.counts(HOUR_S, START_S + 100 * HOUR_S) == Counts(1, 2)


def test_clock_that_goes_back_loses_nothing() -> None:
    bars = Bars.over(HOUR_S, START_S)
    bars.add(Counts(1, 1), START_S)
    bars.add(Counts(1, 1), START_S - 600)
    assert bars.counts(HOUR_S, START_S) == Counts(2, 2)


def test_sums_that_began_anew_are_all_new() -> None:
    growth = Growth()
    assert growth.since_last("a", Counts(5, 100)) == Counts()
    assert growth.since_last("a", Counts(7, 150)) == Counts(2, 50)
    assert growth.since_last("a", Counts(1, 3)) == Counts(1, 3)


def test_history_outlives_its_process() -> None:
    history = steady(0.5)
    again = History(30 * DAY_S, START_S + 3 * DAY_S, history.kept())
    assert judged(again, START_S + 3 * DAY_S) == "1h page"
