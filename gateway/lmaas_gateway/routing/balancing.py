"""Choosing one of the replicas that could take a call: plain functions over what is known of each.

A policy is an object only where a choice needs more than a look at the replicas: a source of randomness, or a
place to count on from. What is known of a replica stands in the `Replica` itself, and comes and goes with it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.notes import Choice
from lmaas_gateway.routing.load import least_loaded
from lmaas_gateway.routing.prefix_aware import PrefixAware
from lmaas_gateway.routing.sessions import ConsistentHash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmaas_gateway.call import Call
    from lmaas_gateway.replicas.pool import Pool, Replica
    from lmaas_gateway.settings import RoutingPolicy


class Policy(Protocol):
    """How a replica is chosen."""

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Choice[Replica]:
        """Pick one of `candidates`, of which there is at least one."""
        ...


class LeastTokens:
    """The replica with the fewest outstanding tokens for its weight."""

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Choice[Replica]:
        """Pick the least loaded; the first of equals."""
        return least_loaded(candidates, call.tokens, "least_tokens")


class PowerOfTwo:
    """The less loaded of two replicas taken at random.

    Args:
        uniform: Gives a number from 0 up to 1.
    """

    def __init__(self, uniform: Callable[[], float]) -> None:
        self._uniform = uniform

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Choice[Replica]:
        """Draw two and pick one."""
        count = len(candidates)
        if count == 1:
            return least_loaded(candidates, call.tokens, "power_of_two")
        first = int(self._uniform() * count)
        second = int(self._uniform() * (count - 1))
        second += second >= first
        return least_loaded((candidates[first], candidates[second]), call.tokens, "power_of_two")


class RoundRobin:
    """One after the other, whatever their load and weight: what the others are compared with."""

    def __init__(self) -> None:
        self._turn = -1

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Choice[Replica]:
        """Pick the next one."""
        del call
        self._turn += 1
        return Choice(candidates[self._turn % len(candidates)], "round_robin", candidates, [], [])


class Policies:
    """The policies of all pools, made when they are needed first.

    Args:
        source: Of randomness.
    """

    def __init__(self, source: random.Random | None = None) -> None:
        # Choices must be spread, not secret.
        self._source = source or random.Random()  # noqa: S311 - nothing secret
        self._policies: dict[tuple[str, RoutingPolicy], Policy] = {}

    def of(self, pool: Pool) -> Policy:
        """Give the policy of a pool; it stays the same when the pool is built anew."""
        key = (pool.name, pool.routing)
        policy = self._policies.get(key)
        if policy is None:
            policy = self._policies[key] = self._make(pool.routing)
        return policy

    def _make(self, name: RoutingPolicy) -> Policy:
        match name:
            case "prefix_aware":
                return PrefixAware()
            case "consistent_hash":
                return ConsistentHash()
            case "power_of_two":
                return PowerOfTwo(self._source.random)
            case "round_robin":
                return RoundRobin()
            case "least_tokens":
                return LeastTokens()
