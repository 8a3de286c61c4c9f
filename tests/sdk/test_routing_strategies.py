"""The failover: which platform each strategy takes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from lmaas import (
    Price,
)
from lmaas._request import Request
from sdk.failover_world import World, endpoint, overload


def test_cheapest_counts_the_call_at_hand() -> None:
    def price(input_usd: int, output_usd: int) -> Price:
        return Price(Decimal(input_usd), Decimal(output_usd), "list", date(2026, 1, 1))

    world = World(endpoint("reads", price=price(1, 9)), endpoint("writes", price=price(3, 3)), by="cheapest")
    long = [{"role": "user", "content": "x" * 40_000}]
    assert world.call(messages=long, max_tokens=1).platform == "reads"
    assert world.call(messages=[], max_tokens=900).platform == "writes"
    world.lanes["writes"].answer = overload()
    assert world.call(messages=[], max_tokens=900).platform == "reads"


def test_fastest_finds_out_and_then_stays() -> None:
    world = World(endpoint("a"), endpoint("b"), by="fastest", explore_every=10, dwell_s=0)
    world.lanes["a"].takes_s = 0.5
    for _ in range(60):
        world.call()
    late = [world.call().platform for _ in range(20)]
    assert late.count("b") >= 18
    assert world.asked("a") >= 5
    world.lanes["b"].takes_s = 2.0
    for _ in range(30):
        world.call()
    assert world.call().platform == "a"


def test_most_reliable_leaves_one_that_fails_now_and_then() -> None:
    world = World(endpoint("a"), endpoint("b"), by="most_reliable", explore_every=10, dwell_s=0)
    count = iter(range(10_000))

    def fails_a_fifth(_: Request) -> None:
        if next(count) % 5 == 0:
            raise overload()

    world.lanes["a"].answer = fails_a_fifth
    for _ in range(80):
        world.call()
    assert [world.call().platform for _ in range(10)].count("b") >= 9
