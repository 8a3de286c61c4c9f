"""What serving costs at the load that comes: hand-worked accounts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaas.evidence import Evidence, Grade
from lmaas.sizing import Extras, HostedPrice, Load, Plan, Request, SizingError, costs

REQUEST = Request(prompt_tokens=1000, output_tokens=200)


def price(value: float, grade: Grade = Grade.C) -> Evidence:
    return Evidence(metric="usd_per_gpu_hour", value=value, unit="usd", grade=grade, source="test")


def goodput(value: float, grade: Grade = Grade.A) -> Evidence:
    return Evidence(metric="goodput_per_s", value=value, unit="1/s", grade=grade, source="test")


def plan(**changes: Any) -> Plan:
    facts: dict[str, Any] = {"gpus_per_replica": 2, "usd_per_gpu_hour": price(3.0), "goodput": goodput(4.0)}
    return Plan(**facts | changes)


def test_account_worked_by_hand() -> None:
    """10 requests/s all day on copies of 4/s: three copies of two GPUs at 3 USD an hour."""
    _, expected, _ = costs(plan(), Load.of_day(10.0), REQUEST)
    assert expected.replicas == 3
    assert expected.usd_per_day == 3 * 2 * 3.0 * 24 == 432
    assert expected.utilisation == pytest.approx(10 / 12)
    assert expected.usd_per_request == pytest.approx(432 / 864_000)
    # 1e6 x N x USD an hour / (3600 x useful tokens a second): 1e6 x 18 / (3600 x 2000)
    assert expected.usd_per_million_tokens == pytest.approx(1e6 * 18 / (3600 * 2000)) == pytest.approx(2.5)


def test_copies_are_what_the_busiest_hour_needs_and_the_spares() -> None:
    rates = [0.1] * 23 + [8.1]
    load = Load.of_rates(rates)
    assert plan().replicas(load, Extras()) == 3
    assert plan(spares=2).replicas(load, Extras()) == 5
    assert plan().replicas(Load.of_day(8.0), Extras()) == 2
    assert plan().replicas(Load.of_day(0.001), Extras()) == 1


def test_idle_hours_are_paid_for_and_shown() -> None:
    office = costs(plan(), Load.of_day(8.0, "office"), REQUEST)[1]
    busy = costs(plan(), Load.of_day(8.0), REQUEST)[1]
    lines = dict(office.lines)
    assert lines["GPUs idle"] > lines["GPUs at work"]
    assert office.usd_per_day == busy.usd_per_day
    assert office.usd_per_million_tokens > 2 * busy.usd_per_million_tokens


def test_three_loads_are_served_by_the_same_copies() -> None:
    low, expected, peak = costs(plan(), Load.of_day(8.0, "office"), REQUEST)
    assert low.replicas == expected.replicas == peak.replicas
    assert low.utilisation == pytest.approx(expected.utilisation / 2)
    assert peak.utilisation == pytest.approx(1.0)
    assert low.usd_per_million_tokens == pytest.approx(2 * expected.usd_per_million_tokens)
    assert peak.usd_per_million_tokens < expected.usd_per_million_tokens


def test_hosted_price_counts_cached_tokens_at_their_own() -> None:
    request = Request(prompt_tokens=1000, output_tokens=200, cached_share=0.5)
    hosted = HostedPrice(input_usd=2.0, output_usd=10.0, cached_input_usd=0.5)
    assert hosted.usd_per_request(request) == pytest.approx((500 * 2 + 500 * 0.5 + 200 * 10) / 1e6)
    without = HostedPrice(input_usd=2.0, output_usd=10.0)
    assert without.usd_per_request(request) == pytest.approx((1000 * 2 + 200 * 10) / 1e6)


def test_break_even_is_where_both_cost_the_same() -> None:
    hosted = HostedPrice(input_usd=0.5, output_usd=1.0)  # 0.0007 USD a request
    account = costs(plan(), Load.of_day(10.0), REQUEST, hosted=hosted)[1]
    assert account.hosted_usd_per_day == pytest.approx(864_000 * 0.0007)
    assert account.break_even_per_s == pytest.approx(432 / 0.0007 / 86400)
    assert account.break_even_is_reachable
    at_break_even = costs(plan(), Load.of_day(account.break_even_per_s or 0), REQUEST, hosted=hosted)[1]
    assert at_break_even.hosted_usd_per_day == pytest.approx(432)


def test_break_even_beyond_what_the_copies_can_serve_is_said_so() -> None:
    cheap = HostedPrice(input_usd=0.05, output_usd=0.1)
    account = costs(plan(), Load.of_day(10.0), REQUEST, hosted=cheap)[1]
    assert not account.break_even_is_reachable


def test_without_a_hosted_price_there_is_no_break_even() -> None:
    account = costs(plan(), Load.of_day(1.0), REQUEST)[0]
    assert account.hosted_usd_per_day is None
    assert account.break_even_per_s is None
    assert not account.break_even_is_reachable


def test_free_hosted_service_has_no_break_even() -> None:
    free = HostedPrice(input_usd=0, output_usd=0)
    account = costs(plan(), Load.of_day(1.0), REQUEST, hosted=free)[0]
    assert (account.hosted_usd_per_day, account.break_even_per_s) == (0, None)


def test_extras_are_lines_of_their_own_even_when_they_are_0() -> None:
    extras = Extras(egress_usd=3, operations_usd=100, evaluation_usd=7, retry_share=0.25)
    account = costs(plan(), Load.of_day(10.0), REQUEST, extras=extras)[1]
    lines = dict(account.lines)
    assert account.replicas == 4  # 12.5 requests/s with those that are made again
    assert (lines["egress"], lines["operations"], lines["evaluation"]) == (3, 100, 7)
    assert lines["GPUs on retries"] == pytest.approx(lines["GPUs at work"] * 0.25)
    plain = dict(costs(plan(), Load.of_day(10.0), REQUEST)[1].lines)
    assert plain["egress"] == plain["operations"] == plain["evaluation"] == plain["GPUs on retries"] == 0


@pytest.mark.parametrize(
    ("price_grade", "goodput_grade", "grade"),
    [(Grade.C, Grade.A, Grade.C), (Grade.A, Grade.D, Grade.D), (Grade.A, Grade.A, Grade.A)],
)
def test_cost_is_no_better_known_than_price_and_goodput(
    price_grade: Grade, goodput_grade: Grade, grade: Grade
) -> None:
    made = plan(usd_per_gpu_hour=price(1.0, price_grade), goodput=goodput(1.0, goodput_grade))
    account = costs(made, Load.of_day(1.0), REQUEST)[1].evidence()
    assert account.grade is grade
    assert account.metric == "usd_per_call"


@settings(max_examples=60)
@given(
    st.lists(st.floats(0, 100), min_size=24, max_size=24).filter(any),
    st.floats(0.1, 50),
    st.floats(0, 0.5),
)
def test_lines_always_sum_to_the_whole(rates: list[float], served: float, retries: float) -> None:
    for account in costs(
        plan(goodput=goodput(served)),
        Load.of_rates(rates),
        REQUEST,
        extras=Extras(egress_usd=1, retry_share=retries),
    ):
        assert sum(usd for _, usd in account.lines) == pytest.approx(account.usd_per_day)
        assert 0 < account.utilisation <= 1
        assert account.replicas * served >= account.load.peak * (1 + retries) * (1 - 1e-6)


def test_days_have_24_hours_and_a_busiest_one() -> None:
    for curve in ("flat", "office", "consumer"):
        load = Load.of_day(5.0, curve)
        assert len(load.rates) == 24
        assert load.peak == pytest.approx(5.0)
    assert Load.of_day(5.0).requests_per_day == 5 * 86400


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Load.of_rates([1.0] * 23), "a day has 24 rates, one an hour; these are 23"),
        (lambda: Load.of_rates([0.0] * 24), "at least one hour"),
        (lambda: Load.of_rates([1.0] * 23 + [-1.0]), "0 or more"),
        (lambda: Load.of_rates([1.0] * 23 + [float("nan")]), "0 or more"),
        (lambda: Load.of_day(1.0, "weekend"), "'weekend' is not known; give one of flat, office, consumer"),
        (lambda: Request(prompt_tokens=0, output_tokens=1), "1 token of prompt or more"),
        (lambda: Request(prompt_tokens=1, output_tokens=1, cached_share=1.5), "cached share of 0 to 1"),
        (lambda: HostedPrice(input_usd=-1, output_usd=1), "0 or more"),
        (lambda: Extras(retry_share=2), "share of retries"),
        (lambda: Extras(egress_usd=float("inf")), "US dollars a day"),
        (lambda: plan(goodput=goodput(0)), "goodput above 0"),
        (lambda: plan(spares=-1), "0 spares or more"),
        (lambda: plan(gpus_per_replica=0), "1 GPU a replica"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, said: str) -> None:
    with pytest.raises(SizingError, match=said):
        make()
