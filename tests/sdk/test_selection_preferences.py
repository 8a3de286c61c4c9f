"""Tests of lmaas.selection's value functions, weights and intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lmaas import ConfigurationError
from lmaas.evidence import Grade
from lmaas.selection import METRICS, Criterion, Fleet, Preferences, Score
from lmaas.selection._metrics import metric_of
from lmaas.selection._uncertainty import interval_of
from sdk.selection_worlds import candidate, choose, figure


def criterion(**changes: Any) -> Criterion:
    facts: dict[str, Any] = {"metric": "ttft_p95_s", "best": 0.3, "worst": 2.0, "weight": 1.0}
    return Criterion(**(facts | changes))


def test_anchors_are_worth_1_and_0_and_lines_lie_between() -> None:
    ttft = criterion()
    assert [ttft.value(at) for at in (0.1, 0.3, 1.15, 2.0, 9.0)] == pytest.approx([1, 1, 0.5, 0, 0])
    quality = criterion(metric="quality", best=0.9, worst=0.5)
    assert [quality.value(at) for at in (0.4, 0.7, 1.0)] == pytest.approx([0, 0.5, 1])


def test_points_between_bend_the_line_and_figures_are_found_again() -> None:
    bent = criterion(between=((0.5, 0.9), (1.0, 0.2)))
    assert [bent.value(at) for at in (0.4, 0.75, 1.5)] == pytest.approx([0.95, 0.55, 0.1])
    assert bent.figure(0.55) == pytest.approx(0.75)
    assert bent.figure(1.2) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": "beauty"}, "no metric 'beauty'"),
        ({"best": 3.0}, "best must be lower than worst"),
        ({"best": 2.0}, "best must be lower than worst"),
        ({"metric": "quality"}, "best must be higher than worst"),
        ({"weight": None}, "either weight or worth"),
        ({"worth_usd_per_month": 5.0}, "either weight or worth"),
        ({"weight": -1.0}, "not below 0"),
        ({"between": ((5.0, 0.5),)}, "must rise"),
        ({"metric": "quality", "best": 85.0, "worst": 50.0}, "85 and 50; its figures are shares from 0 to 1"),
        ({"best": -1.0}, "-1 and 2; its figures are not below 0"),
        ({"between": ((0.5, 0.2), (1.0, 0.8))}, "must rise"),
        ({"between": ((0.5, 0.2), (0.5, 0.8))}, "each figure once"),
    ],
)
def test_criteria_that_contradict_themselves_are_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        criterion(**changes)


def test_a_swing_worth_money_weighs_what_the_money_would() -> None:
    # 0.5 points of quality are worth $300 a month, and the swing of cost is $600: half of cost's weight.
    wanted = Preferences(
        (
            criterion(metric="usd_per_month", best=0.0, worst=600.0, weight=2.0),
            Criterion(metric="quality", best=1.0, worst=0.5, worth_usd_per_month=300.0),
        )
    )
    assert wanted.weights == pytest.approx({"usd_per_month": 2 / 3, "quality": 1 / 3})


@pytest.mark.parametrize(
    "criteria",
    [
        (),
        (criterion(), criterion()),
        (criterion(weight=0.0),),
        (criterion(weight=None, worth_usd_per_month=5.0),),
    ],
)
def test_preferences_that_cannot_be_are_refused(criteria: tuple[Criterion, ...]) -> None:
    with pytest.raises(ConfigurationError):
        _ = Preferences(criteria).weights


def test_weights_of_the_four_scores_are_shared_among_their_metrics_with_own_anchors() -> None:
    own = criterion(best=0.1, worst=0.9)
    wanted = Preferences.weighing({Score.PERFORMANCE: 3, Score.COST: 1}, [own], "firm")
    by_score = dict.fromkeys(Score, 0.0)
    for metric, weight in wanted.weights.items():
        by_score[METRICS[metric].score] += weight
    assert by_score == pytest.approx(
        {Score.PERFORMANCE: 0.75, Score.COST: 0.25, "scalability": 0, "ease of use": 0}
    )
    ttft = next(c for c in wanted.criteria if c.metric == "ttft_p95_s")
    assert (ttft.best, ttft.worst, wanted.certainty) == (0.1, 0.9, "firm")
    with pytest.raises(ConfigurationError, match="itl_p95_s"):
        Preferences.weighing({Score.COST: 1}, [criterion(metric="itl_p95_s")])


def test_measured_intervals_are_kept_and_claims_are_widened() -> None:
    kept = interval_of(figure("ttft_p95_s", 1.0, low=0.9, high=1.2))
    assert (kept.low, kept.high) == pytest.approx((0.9, 1.2))
    widths = [
        (interval.high - interval.low)
        for grade in Grade
        for interval in [interval_of(figure("ttft_p95_s", 1.0, low=0.9, high=1.2, grade=grade))]
    ]
    assert widths[0] == widths[1]
    assert widths[1:] == sorted(widths[1:])
    assert widths[1] < widths[2] < widths[4]


@pytest.mark.parametrize("metric", ["quality", "ttft_p95_s", "usd_per_month", "error_rate", "ease_of_use"])
def test_figures_without_an_interval_get_one_that_grows_with_the_grade(metric: str) -> None:
    told = [interval_of(figure(metric, 0.5, None, grade=grade)) for grade in Grade]
    widths = [interval.high - interval.low for interval in told]
    assert widths == sorted(widths)
    assert widths[-1] > widths[0]


def test_no_failure_seen_among_so_many_is_not_never() -> None:
    assert interval_of(figure("error_rate", 0.0, None, n=300)).high == pytest.approx(0.0126, abs=1e-4)
    assert interval_of(figure("error_rate", 0.0, None, n=None, grade=Grade.C)).high == pytest.approx(0.015)


def test_failures_that_were_counted_have_the_interval_of_their_count() -> None:
    few = interval_of(figure("error_rate", 0.025, None, n=40))  # one in forty, by the tables of Wilson's
    assert (few.low, few.high) == pytest.approx((0.0044, 0.1288), abs=1e-4)
    many = interval_of(figure("error_rate", 0.025, None, n=40_000))
    assert (many.low, many.high) == pytest.approx((0.0235, 0.0266), abs=1e-4)
    claim = interval_of(figure("error_rate", 0.025, None, n=40_000, grade=Grade.C))
    assert (claim.low, claim.high) == pytest.approx((0.025 / 3, 0.025 * 3))


def test_shares_stay_within_0_and_1() -> None:
    interval = interval_of(figure("quality", 0.95, None, grade=Grade.E))
    assert (interval.low, interval.high) == pytest.approx((0.65, 1.0))


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("usd_per_month", 1234.5, "$1,234"),
        ("usd_per_month", 12.345, "$12.35"),
        ("usd_per_call", 0.00123, "$0.00123"),
        ("error_rate", 0.012, "1.2 %"),
        ("ttft_p95_s", 0.3456, "0.346 s"),
        ("quality", 0.9, "0.9"),
    ],
)
def test_figures_are_written_for_people(metric: str, value: float, text: str) -> None:
    assert metric_of(metric).format(value) == text


def test_figures_that_are_exact_whole_numbers_are_drawn_too() -> None:
    own = replace(candidate("own", None), fleet=Fleet(usd_per_gpu_hour=1.0, max_replicas=4))
    told = {"own": [figure("goodput_per_s", 2), figure("quality", 1, None, low=1, high=1)]}
    wanted = Preferences.weighing(dict.fromkeys(Score, 1.0))  # counts replicas as places
    assert choose([own, candidate("bare")], told, wanted).answer.names == ("own",)
