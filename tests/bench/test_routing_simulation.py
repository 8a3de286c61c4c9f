"""The simulation of the routing policies, and that the default is the best of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from bench.routing import POLICIES, PrefixCache, Result, Simulation, Traffic
from lmaas_gateway.settings import ModelSettings

if TYPE_CHECKING:
    from lmaas_gateway.settings import RoutingPolicy

TRAFFIC = Traffic("small", calls=350, sessions=24)


@cache
def result(routing: RoutingPolicy, *, cache_tokens: int = 60_000) -> Result:
    return Simulation(replace(TRAFFIC, cache_tokens=cache_tokens), routing).run()


@pytest.mark.parametrize("routing", POLICIES)
def test_every_policy_serves_all_calls_with_balance(routing: RoutingPolicy) -> None:
    assert result(routing).imbalance < 1.4


def test_prefix_aware_finds_nearly_all_that_one_endless_cache_would() -> None:
    assert result("prefix_aware").cached_share > 0.95


def test_prefix_aware_is_the_default_and_finds_most_without_costing_time() -> None:
    assert ModelSettings.model_fields["routing"].default == "prefix_aware"
    best = result("prefix_aware")
    for routing in POLICIES:
        assert best.cached_share >= result(routing).cached_share
        assert best.p99_steps <= 1.1 * result(routing).p99_steps


def test_small_caches_make_the_difference_greater() -> None:
    large = result("prefix_aware").cached_share - result("round_robin").cached_share
    small = result("prefix_aware", cache_tokens=8000).cached_share
    assert small - result("round_robin", cache_tokens=8000).cached_share > large > 0.05


def test_prefix_cache_counts_whole_blocks_and_forgets_the_oldest_beginnings_last() -> None:
    held = PrefixCache(block_tokens=2, capacity_tokens=6)
    held.add(list("abcdef"))
    assert held.count(list("abcdef")) == 4
    assert held.count(list("abcdefg")) == 6
    assert held.count(list("abXdefg")) == 2
    held.add(list("uv"))
    assert held.count(list("abcdefg")) == 4
