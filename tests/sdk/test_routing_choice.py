"""The choice alone, over snapshots made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas import ConfigurationError
from lmaas.routing import Strategy
from lmaas.routing._choice import Choice, Present, View, choose

LONG = Present(None, 1000.0)
STRATEGIES = [Strategy(by=by) for by in ("order", "cheapest", "fastest", "most_reliable")]
VIEWS = st.lists(
    st.builds(
        View,
        name=st.sampled_from(list("abcdefgh")),
        unfit=st.sampled_from([None, None, None, "has no tools"]),
        resting=st.sampled_from([None, None, None, "it failed again and again"]),
        was_tried=st.sampled_from([False, False, False, True]),
        usd=st.one_of(st.none(), st.floats(0, 1)),
        latency_s=st.one_of(st.none(), st.floats(0.01, 10)),
        failures=st.integers(0, 5),
        samples=st.integers(5, 50),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda view: view.name,
)


def name_of(views: list[View], choice: Choice | None) -> str | None:
    return None if choice is None else views[choice.index].name


def test_order_takes_the_first_that_is_free() -> None:
    views = [View("a", resting="it asked to wait"), View("b", unfit="has no tools"), View("c"), View("d")]
    choice = choose(views, Strategy(), LONG)
    assert choice == Choice(2, "first in order after a, b")


def test_cheapest_is_that_of_the_call_at_hand_and_an_unknown_price_is_never_cheap() -> None:
    views = [View("a"), View("b", usd=0.02), View("c", usd=0.01)]
    choice = choose(views, Strategy(by="cheapest"), Present("b", 0.0))
    assert choice == Choice(2, "cheapest: about $0.01; next b, about $0.02")


def test_fastest_names_its_figures() -> None:
    views = [View("a", latency_s=0.5, samples=9), View("b", latency_s=0.2, samples=7)]
    choice = choose(views, Strategy(by="fastest"), LONG)
    assert choice == Choice(1, "fastest: 0.2 s over 7 requests; next a, 0.5 s over 9 requests")


def test_most_reliable_prefers_ten_of_ten_to_five_of_five() -> None:
    views = [View("a", samples=5), View("b", samples=10), View("c", samples=50, failures=5)]
    choice = choose(views, Strategy(by="most_reliable"), LONG)
    assert name_of(views, choice) == "b"


@pytest.mark.parametrize(("rival_s", "since_s", "expected"), [(0.9, 60, "a"), (0.7, 60, "b"), (0.1, 5, "a")])
def test_a_rival_takes_over_only_when_much_better_and_not_at_once(
    rival_s: float, since_s: float, expected: str
) -> None:
    views = [View("a", latency_s=1.0, samples=9), View("b", latency_s=rival_s, samples=9)]
    choice = choose(views, Strategy(by="fastest", hysteresis=0.2, dwell_s=10), Present("a", since_s))
    assert name_of(views, choice) == expected


def test_who_is_not_free_keeps_nothing() -> None:
    views = [View("a", latency_s=0.1, samples=9, was_tried=True), View("b", latency_s=9.0, samples=9)]
    choice = choose(views, Strategy(by="fastest"), Present("a", 1.0))
    assert choice is not None
    assert choice.index == 1
    assert choice.reason.endswith("no other is free")


def test_exploring_asks_who_was_asked_least() -> None:
    views = [View("a", samples=9, latency_s=0.1), View("b", samples=2)]
    choice = choose(views, Strategy(by="fastest"), LONG, explores=True)
    assert choice == Choice(1, "to find out: 2 requests of late are the fewest")


def test_two_that_swap_places_a_hundred_times_do_not_make_the_calls_flap() -> None:
    strategy, present, switches = Strategy(by="fastest", dwell_s=0), "a", 0
    for step in range(100):
        figures = {"a": 1.0, "b": 0.9} if step % 2 else {"a": 0.9, "b": 1.0}
        views = [View(name, latency_s=value, samples=9) for name, value in figures.items()]
        chosen = name_of(views, choose(views, strategy, Present(present, 99.0)))
        switches += chosen != present
        present = chosen or present
    assert switches == 0


@given(VIEWS, st.sampled_from(STRATEGIES))
def test_only_free_platforms_are_chosen_and_one_is_if_there_is_any(
    views: list[View], strategy: Strategy
) -> None:
    choice = choose(views, strategy, LONG)
    assert (choice is not None) == any(view.is_free for view in views)
    assert choice is None or views[choice.index].is_free


@given(VIEWS, st.sampled_from(STRATEGIES))
def test_one_more_that_is_not_free_changes_nothing(views: list[View], strategy: Strategy) -> None:
    more = [*views, View("z", unfit="has no tools", usd=0.0, latency_s=0.0, samples=99)]
    assert name_of(more, choose(more, strategy, LONG)) == name_of(views, choose(views, strategy, LONG))


@given(VIEWS, st.sampled_from(STRATEGIES[1:]), st.integers(0, 5))
def test_missing_figures_never_make_a_platform_win(views: list[View], strategy: Strategy, at: int) -> None:
    unknown = replace(views[at % len(views)], usd=None, latency_s=None, samples=0, failures=0)
    views[at % len(views)] = unknown
    choice = choose(views, strategy, LONG)
    others = [view for view in views if view.is_free and view is not unknown]
    field = {"cheapest": "usd", "fastest": "latency_s", "most_reliable": "samples"}[strategy.by]
    if any(getattr(view, field) is not None for view in others):
        assert name_of(views, choice) != unknown.name


@given(VIEWS, st.sampled_from(STRATEGIES[1:3]), st.randoms())
def test_order_of_the_list_decides_ties_alone(views: list[View], strategy: Strategy, random: Any) -> None:
    field = "usd" if strategy.by == "cheapest" else "latency_s"
    figures = [getattr(view, field) for view in views if view.is_free]
    shuffled = random.sample(views, len(views))
    if None not in figures and len(set(figures)) == len(figures):
        assert name_of(views, choose(views, strategy, LONG)) == name_of(
            shuffled, choose(shuffled, strategy, LONG)
        )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"by": "best"}, "'best' is none; there are order, cheapest, fastest, most_reliable"),
        ({"on_interrupt": "go"}, "give 'raise' or 'restart'"),
        ({"percentile": 90}, "give a share such as 0.9"),
        ({"hysteresis": 1.0}, "give a share such as 0.2"),
        ({"explore_every": -1}, "dwell_s and explore_every are 0 or more"),
    ],
)
def test_a_strategy_that_cannot_work_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Strategy(**fields)


def test_a_strategy_may_be_named() -> None:
    assert Strategy.of("fastest").by == "fastest"
    assert Strategy.of(None).by == "order"
    assert Strategy.of(strategy := Strategy(by="cheapest")) is strategy
    with pytest.raises(ConfigurationError, match="int is not understood"):
        Strategy.of(3)
