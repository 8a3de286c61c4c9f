"""The replica that has read the longest part of a prompt, unless it is too busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.notes import Choice
from lmaas_gateway.replicas.prefixes import BYTES_PER_TOKEN, Chain, bytes_of
from lmaas_gateway.routing.load import least_loaded, load_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.call import Call
    from lmaas_gateway.replicas.pool import Replica

# How many outstanding tokens of a replica weigh as much as one token that another would have to read anew.
# Reading is work at once and delays the whole batch; most outstanding tokens are decoded beside each other.
_WEIGHT_OF_SHARED = 8.0
# The beginning that chats share is soon held everywhere. What one chat has said is held where it was said,
# and a second copy takes room from the others.
_WEIGHT_OF_OWN = 64.0
# All of this holds for a replica whose load is at most this much of the least, or so many calls like this one
# more; beyond, its load alone counts.
_BOUND = 2.0
_FREE_CALLS = 8


class PrefixAware:
    """The replica where the call costs least: the load that is there, and what it would have to read anew."""

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Choice[Replica]:
        """Pick one, and take note that it will have read the prompt."""
        if call.route.dialect == "plain":
            return least_loaded(candidates, call.tokens, "least_tokens")
        chain = Chain(call.prompt, call.preamble)
        chosen = candidates[0]
        loads: list[float] = []
        worth: list[float] = []
        if len(candidates) > 1:
            loads = [load_of(replica, call.tokens) for replica in candidates]
            worth = worth_of(chain, candidates)
            # What all of them hold, or none, decides nothing.
            is_alike = worth.count(worth[0]) == len(worth)
            best = loads.index(min(loads)) if is_alike else cheapest(loads, worth, call.tokens)
            chosen = candidates[best]
        chosen.prefixes.note(chain)
        return Choice(chosen, "prefix_aware", candidates, loads, worth)


def worth_of(chain: Chain, candidates: Sequence[Replica]) -> list[float]:
    """Tell what it is worth that each replica holds some of a prompt, in outstanding tokens."""
    if chain.has_earlier_turns():
        for size, count, state in chain.earlier_ends():
            holders = [replica.prefixes.has_end(chain, state, count) for replica in candidates]
            if True in holders:
                worth = size * (_WEIGHT_OF_OWN / BYTES_PER_TOKEN)
                return [worth * is_holder for is_holder in holders]
    return [
        bytes_of(replica.prefixes.count(chain)) * (_WEIGHT_OF_SHARED / BYTES_PER_TOKEN)
        for replica in candidates
    ]


def cheapest(loads: Sequence[float], worth: Sequence[float], tokens: int) -> int:
    """Find the place with the least load and the most worth; the first of equals.

    Worth counts only where the load is within a bound of the least.
    """
    limit = _BOUND * min(loads) + _FREE_CALLS * tokens
    best = 0
    best_cost = float("inf")
    for index, load in enumerate(loads):
        cost = load - worth[index] if load <= limit else load
        if cost < best_cost:
            best, best_cost = index, cost
    return best
