"""Tests of lmaas.selection's costs against cases worked by hand, and of what facts come to."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from lmaas.evidence import Evidence, Grade
from lmaas.measuring import UniformLengths, Workload
from lmaas.platforms import Auth, Offer, Platform, Price, PriceTier, RateLimits, Sourced
from lmaas.selection import Bill, Candidate, Fleet, Overheads, Spending
from lmaas.selection._inputs import Inputs
from lmaas.selection._spending import LINES
from lmaas.selection._spending import spending as spending_of
from lmaas.selection._traits import ease_of_use, ease_points, headroom, locations
from sdk.selection_worlds import TODAY, candidate, figure, workload

_CALLS = 730 * 3600  # a month of one call a second


def priced(price: Price, *others: Price, caches: bool | None = None) -> Candidate:
    known = None if caches is None else Sourced(caches, "a page")
    return candidate(
        "priced",
        platform=Platform(id="priced", name="priced", prompt_cache=known),
        offer=Offer(platform="priced", model="m", price=price, other_prices=others),
    )


def price(inputs: str, outputs: str, **more: object) -> Price:
    rates = {"cached_per_million": None} | more
    return Price(Decimal(inputs), Decimal(outputs), "a contract", TODAY, **rates)  # type: ignore[arg-type]  # as the fields are


def spending(one: Candidate, asked: Workload, *told: Evidence) -> Spending:
    """The costs of a candidate of which these figures are known; no call fails unless they say so."""
    cells = {"error_rate": figure("error_rate", 0.0)} | {each.metric: each for each in told}
    return spending_of(one, asked, Inputs.of(cells))


def bill(spent: Spending, load: str = "expected") -> Bill:
    found = spent.bill(load)
    assert found is not None
    return found


def test_hosted_calls_cost_their_tokens() -> None:
    # 1,000 prompt tokens at $2 and 1,000 of the answer at $6 a million: 0.2 + 0.6 cents a call.
    spent = spending(priced(price("2", "6")), workload())
    lines = bill(spent).lines_usd
    assert lines["prompt tokens"] == pytest.approx(0.002 * _CALLS)
    assert lines["answer tokens"] == pytest.approx(0.006 * _CALLS)
    assert bill(spent).total_usd == pytest.approx(21_024)
    assert spent.call_evidence is not None
    assert spent.call_evidence.value == pytest.approx(0.008)
    assert spent.assumes == ()


def test_every_line_is_there_even_if_it_is_0() -> None:
    assert tuple(bill(spending(candidate("plain"), workload())).lines_usd) == LINES


def test_the_common_prefix_is_cheaper_only_where_it_is_known_to_be_cached() -> None:
    # Half of the prompt at a tenth of the price: 0.1 + 0.01 cents instead of 0.2.
    offered, asked = price("2", "0", cached_per_million=Decimal("0.2")), workload(shared_prefix_share=0.5)
    cached = bill(spending(priced(offered, caches=True), asked)).lines_usd
    assert cached["prompt tokens"] == pytest.approx(0.001 * _CALLS)
    assert cached["cached prompt tokens"] == pytest.approx(0.0001 * _CALLS)
    for caches in (False, None):
        fresh = bill(spending(priced(offered, caches=caches), asked)).lines_usd
        assert fresh["prompt tokens"] == pytest.approx(0.002 * _CALLS)


def test_failed_calls_are_paid_again() -> None:
    # A fifth fails, and of those again a fifth: 0.2 + 0.04 calls more for each.
    spent = spending(priced(price("2", "6")), workload(), figure("error_rate", 0.2))
    assert bill(spent).lines_usd["retries"] == pytest.approx(0.24 * 0.008 * _CALLS)
    assert spent.assumes == ()


def test_calls_of_which_nobody_knows_how_many_fail_cost_as_if_all_did() -> None:
    unknown = spending_of(priced(price("2", "6")), workload(), Inputs.of({}))
    assert bill(unknown).total_usd == pytest.approx(3 * 0.008 * _CALLS)
    assert unknown.assumes == ("each call is sent and paid 3 times: failures are not known",)
    worst = spending(priced(price("2", "6")), workload(), figure("error_rate", 1.0, 0.0))
    assert bill(worst).lines_usd == bill(unknown).lines_usd


def test_hours_of_people_that_nobody_counted_leave_the_cost_of_own_machines_open() -> None:
    one = replace(own(), overheads=Overheads(ops_usd_per_hour=80))
    spent = spending(one, workload(), figure("goodput_per_s", 2.0))
    assert (spent.bills, spent.evidence) == ((), None)
    assert "ops_hours_per_month" in spent.missing[0]


def test_long_prompts_pay_their_tier() -> None:
    # Half of the prompts, uniform from 0 to 2,000, are above 1,000 and pay $4: their mean is 1,500.
    tiers = (PriceTier(1000, input_per_million=Decimal(4)),)
    asked = workload(prompt_tokens=UniformLengths(1, 1999))
    lines = bill(spending(priced(price("2", "0", tiers=tiers)), asked)).lines_usd
    by_hand = (0.5 * 500 * 2 + 0.5 * 1500 * 4) * 1e-6
    assert lines["prompt tokens"] == pytest.approx(by_hand * _CALLS, rel=0.01)


def test_overheads_are_lines_of_their_own() -> None:
    # 1,000 tokens of 4 bytes a call, 2,628,000 calls: 10.512 GB at $0.1; 5 hours at $80; $20.
    beside = Overheads(
        ops_hours_per_month=5, ops_usd_per_hour=80, egress_usd_per_gb=0.1, fixed_usd_per_month=20
    )
    lines = bill(spending(replace(candidate("x"), overheads=beside), workload())).lines_usd
    assert (lines["egress"], lines["people"], lines["fixed"]) == pytest.approx((1.0512, 400, 20))


def test_catalogues_that_disagree_are_an_interval() -> None:
    spent = spending(priced(price("2", "6"), price("1", "3"), price("3", "6")), workload())
    assert spent.evidence is not None
    assert (spent.evidence.low, spent.evidence.high) == pytest.approx((0.004 * _CALLS, 0.009 * _CALLS))
    assert spent.evidence.grade is Grade.C


def test_low_expected_and_peak_load_follow_the_day() -> None:
    day = (0.0, 0.5, 2.5, *[1.0] * 21)
    bills = spending(candidate("x"), workload(day=day)).bills
    assert [(each.load, each.calls_per_s) for each in bills[1:]] == [("expected", 1.0), ("peak", 2.5)]
    assert bills[0].total_usd == 0
    assert bills[1].total_usd < bills[2].total_usd


def own(**changes: object) -> Candidate:
    fleet = Fleet(usd_per_gpu_hour=2.0, gpus=2, spares=1, max_replicas=4, **changes)  # type: ignore[arg-type]  # as the fields are
    return replace(candidate("own", None), fleet=fleet)


def test_own_machines_are_paid_for_the_peak_whatever_the_load() -> None:
    # A peak of 3/s at 2/s a replica: 2 and a spare, of 2 GPUs at $2, 730 hours: $8,760. A call takes half a
    # second of one replica: 1/s keeps half a replica busy, $1,460 a month.
    asked = workload(day=(3.0, *[21 / 23] * 23))
    spent = spending(own(), asked, figure("goodput_per_s", 2.0))
    lines = bill(spent).lines_usd
    assert lines["machines, busy"] == pytest.approx(1460)
    assert lines["machines, idle"] == pytest.approx(8760 - 1460)
    assert [each.total_usd for each in spent.bills] == pytest.approx([8760] * 3)
    assert spent.assumes == ("3 replicas, paid all month",)
    assert spent.evidence is not None
    assert spent.evidence.grade is Grade.A


def test_the_interval_of_goodput_is_one_of_money() -> None:
    told = figure("goodput_per_s", 1.1, low=0.9, high=1.3)  # 1 replica, or 2 at the low end
    spent = spending(own(), workload(), told)
    assert spent.evidence is not None
    assert (spent.evidence.low, spent.evidence.high) == pytest.approx((2 * 2920, 3 * 2920))


@pytest.mark.parametrize("low", [None, 0.0])
def test_a_goodput_that_may_be_lower_may_cost_more(low: float | None) -> None:
    told = figure("goodput_per_s", 1.05, None, low=low, high=1.2)
    spent = spending(own(), workload(), told)
    assert spent.evidence is not None
    assert spent.evidence.high is not None
    assert spent.evidence.high > spent.evidence.value
    exact = spending(own(), workload(), figure("goodput_per_s", 1.05, None)).evidence
    assert exact is not None
    assert exact.high == pytest.approx(3 * 2920)  # 1.05 / 1.1 is below 1: two replicas and a spare


@pytest.mark.parametrize(
    ("one", "asked", "missing"),
    [
        (candidate("x", None), workload(), "a price in US dollars"),
        (priced(price("1", "1", currency="CNY")), workload(), "a price in US dollars"),
        (own(), workload(), "goodput_per_s of one replica"),
        (candidate("x"), workload(calls_per_s=None), "the workload's calls_per_s"),
    ],
)
def test_what_a_cost_lacks_is_named_and_nothing_is_guessed(
    one: Candidate, asked: Workload, missing: str
) -> None:
    spent = spending(one, asked)
    assert (spent.missing, spent.bills, spent.evidence) == ((missing,), (), None)


def test_ease_is_made_of_facts_and_what_is_not_known_counts_nothing() -> None:
    def fact(value: object) -> Sourced[object]:
        return Sourced(value, "a page", TODAY)

    platform = Platform(
        id="easy",
        name="Easy",
        routes=fact(("chat/completions",)),  # type: ignore[arg-type]  # as the fields are
        auth=fact(Auth(kind="bearer")),  # type: ignore[arg-type]  # as the fields are
        tools=fact(True),  # type: ignore[arg-type]  # as the fields are
        json_schema=fact(False),  # type: ignore[arg-type]  # as the fields are
    )
    offer = Offer(platform="easy", model="m", tools=fact(True), json_schema=fact(True))  # type: ignore[arg-type]  # as the fields are
    told = ease_of_use(ease_points(candidate("easy", platform=platform, offer=offer)))
    assert told.value == pytest.approx(0.15 + 0.15 + 0.13 + 0.20)
    assert told.source == "5 of 8 facts of the catalogue"
    half_told = ease_of_use(ease_points(candidate("easy", platform=platform)))  # the model may have no tools
    assert half_told.value == pytest.approx(0.15 + 0.15 + 0.20)
    assert sum(point.share for point in ease_points(candidate("bare"))) == pytest.approx(1)


def test_hours_of_people_make_a_candidate_less_easy() -> None:
    def ease(hours: float | None, one: Candidate) -> float:
        return ease_of_use(ease_points(replace(one, overheads=Overheads(ops_hours_per_month=hours)))).value

    assert ease(None, candidate("hosted")) == pytest.approx(0.20)
    assert ease(None, own()) == 0.0
    assert ease(10, own()) == pytest.approx(0.15)
    assert ease(80, own()) == 0.0


def test_headroom_is_what_was_measured_and_limits_that_are_lower_are_noted() -> None:
    limits = Sourced(RateLimits(requests_per_minute=600, tokens_per_minute=240_000), "a page")
    platform = Platform(id="limited", name="limited", rate_limits=limits)
    limited = candidate("limited", platform=platform)
    measured = headroom(limited, workload(), figure("goodput_per_s", 1.5))
    assert measured is not None
    assert (measured.value, measured.grade, measured.source) == (1.5, Grade.A, "a test")
    # 240,000 tokens a minute are 2 calls of 2,000 a second.
    above = headroom(limited, workload(), figure("goodput_per_s", 2.5))
    assert above is not None
    assert above.source == "a test; only 2 calls/s are said to be allowed (a page)"


def test_what_is_allowed_is_no_capacity() -> None:
    limits = Sourced(RateLimits(requests_per_minute=6000), "a page")
    platform = Platform(id="limited", name="limited", rate_limits=limits)
    assert headroom(candidate("limited", platform=platform), workload(), None) is None
    assert headroom(candidate("bare"), workload(calls_per_s=None), figure("goodput_per_s", 1.0)) is None


def test_own_machines_have_room_up_to_as_many_replicas_as_there_can_be_beside_the_spares() -> None:
    room = headroom(own(), workload(), figure("goodput_per_s", 0.5))
    assert room is not None
    assert (room.value, room.low, room.high) == pytest.approx((1.5, 1.35, 1.65))
    assert room.source == "3 times a test"


def test_a_slow_engine_that_needs_more_replicas_has_no_more_places() -> None:
    places = locations(own())
    assert places is not None
    assert places.value == 2  # one, and the spare


def test_regions_are_places() -> None:
    platform = Platform(id="wide", name="wide", regions=Sourced(("eu", "us", "ap"), "a page"))
    places = locations(candidate("wide", platform=platform))
    assert places is not None
    assert places.value == 3
    assert locations(candidate("bare")) is None


def test_the_common_prefix_is_cached_where_nobody_knows_and_that_costs_more() -> None:
    offered, asked = price("2", "0", cached_per_million=Decimal(3)), workload(shared_prefix_share=0.5)
    assert bill(spending(priced(offered), asked)).total_usd == pytest.approx(0.0025 * _CALLS)
    assert bill(spending(priced(offered, caches=False), asked)).total_usd == pytest.approx(0.002 * _CALLS)
