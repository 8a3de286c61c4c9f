"""What calls cost, against sums worked by hand."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lmaas_gateway.call import Usage
from lmaas_gateway.prices import Capacity, Price, capacity_of, prices_of
from lmaas_gateway.settings import ModelSettings, PriceSettings

TOKENS = st.integers(0, 2**31 - 1)
DOLLARS = st.decimals(0, 10**6, places=9, allow_nan=False)


def price(**fields: Any) -> Price:
    return Price.of(PriceSettings.model_validate(fields))


@pytest.mark.parametrize(
    ("fields", "usage", "busy_ns", "nanos"),
    [
        # 1,000 x $0.15/M + 500 x $0.60/M = $0.00015 + $0.0003
        ({"input_per_million": "0.15", "output_per_million": "0.60"}, Usage(1000, 500), 0, 450_000),
        # 200 of the 1,000 are cached: 800 x 0.15 + 200 x 0.075 = $135/M
        (
            {"input_per_million": "0.15", "cached_input_per_million": "0.075"},
            Usage(1000, 500, 200),
            0,
            135_000,
        ),
        # Without a price of their own, cached tokens cost what others do.
        ({"input_per_million": "0.15"}, Usage(1000, 0, 1000), 0, 150_000),
        # $3.60 an hour is $0.001 a second; 2.5 s on two GPUs are $0.005.
        ({"gpu_second": "0.001", "gpus": 2}, Usage(10, 10), 2_500_000_000, 5_000_000),
        # Both kinds add up: $0.000002 of tokens, $0.000001 of time.
        ({"output_per_million": 2, "gpu_second": "0.001"}, Usage(0, 1), 1_000_000, 3_000),
        # A third of a nano-dollar is none, a half is one.
        ({"input_per_million": "0.000001"}, Usage(333), 0, 0),
        ({"input_per_million": "0.000001"}, Usage(500), 0, 1),
        ({}, Usage(1000, 1000), 10**9, 0),
        # YAML's 0.1 is a binary fraction; the books know what was meant.
        ({"input_per_million": 0.1}, Usage(3_000_000), 0, 300_000_000),
    ],
)
def test_costs_are_as_worked_by_hand(fields: dict[str, Any], usage: Usage, busy_ns: int, nanos: int) -> None:
    assert price(**fields).cost_nanos(usage, busy_ns) == nanos


@given(
    prompt=TOKENS,
    cached=TOKENS,
    completion=TOKENS,
    busy_ns=st.integers(0, 10**14),
    rates=st.tuples(*[DOLLARS] * 4),
)
def test_cost_is_the_exact_sum_rounded_once(
    prompt: int, cached: int, completion: int, busy_ns: int, rates: tuple[Decimal, ...]
) -> None:
    cached_rate, input_rate = sorted(rates[:2])
    fields = {
        "input_per_million": input_rate,
        "cached_input_per_million": cached_rate,
        "output_per_million": rates[2],
        "gpu_second": rates[3],
    }
    cached = min(cached, prompt)
    exact = (
        (prompt - cached) * input_rate * 1000
        + cached * cached_rate * 1000
        + completion * rates[2] * 1000
        + busy_ns * rates[3]
    )
    cost = price(**fields).cost_nanos(Usage(prompt, completion, cached), busy_ns)
    assert cost == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def test_more_cached_tokens_than_there_are_cost_no_less_than_nothing() -> None:
    assert price(input_per_million=1, cached_input_per_million=0).cost_nanos(Usage(5, 0, 9)) == 0


def test_price_is_read_back_as_it_was_written() -> None:
    written = price(input_per_million="0.15", gpu_second="0.0005", gpus=8)
    assert Price.parse(written.text()) == written
    assert written.second_nanos() == 4_000_000


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input_per_million": "0.0000000001"}, "decimal places"),
        ({"output_per_million": -1}, "greater than or equal to 0"),
        ({"input_per_million": 1, "cached_input_per_million": 2}, "exchange them"),
        ({"gpus": 0}, "greater than or equal to 1"),
        ({"per_token": 1}, "Extra inputs"),
    ],
)
def test_price_that_cannot_be_meant_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        price(**fields)


def test_models_without_a_price_are_not_listed() -> None:
    models = [
        ModelSettings.model_validate({"model": "a", "price": {"output_per_million": 2}}),
        ModelSettings.model_validate({"model": "b"}),
    ]
    assert prices_of(models) == {"a": Price(output_per_million_nanos=2 * 10**9)}


def test_idle_replicas_cost_what_busy_ones_do() -> None:
    # $3.60 an hour and GPU: two replicas of two GPUs for an hour, of which they worked half an hour in all.
    found = capacity_of(price(gpu_second="0.001", gpus=2), replicas=2, seconds=3600, busy_ns=1800 * 10**9)
    assert found == Capacity(utilization=0.25, cost_nanos=14_400_000_000)
    assert capacity_of(price(gpu_second=1), replicas=1, seconds=0, busy_ns=0) == Capacity(0.0, 0)
