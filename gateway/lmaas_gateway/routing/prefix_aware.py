"""The replica that has read the longest part of a prompt, unless it is too busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.replicas.prefixes import BYTES_PER_TOKEN, Chain, bytes_of
from lmaas_gateway.routing.load import least_loaded, load_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.call import Call
    from lmaas_gateway.replicas.pool import Replica

# How many outstanding tokens of a replica weigh as much as one token that another would have to read. Reading
# is work at once and delays all others in the batch; most outstanding tokens are decoded beside each other.
_TOKENS_PER_READ = 4.0


class PrefixAware:
    """The replica where the call costs least: the load that is there, and what it would have to read anew."""

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Replica:
        """Pick one, and take note that it will have read the prompt."""
        if call.route.dialect == "plain":
            return least_loaded(candidates, call.tokens)
        chain = Chain(call.prompt, call.preamble)
        chosen = candidates[0]
        if len(candidates) > 1:
            loads = [load_of(replica, call.tokens) for replica in candidates]
            chosen = candidates[cheapest(loads, held_bytes(chain, candidates))]
        chosen.prefixes.note(chain)
        return chosen


def held_bytes(chain: Chain, candidates: Sequence[Replica]) -> list[int]:
    """Tell how much of a prompt each replica probably holds."""
    counts = [replica.prefixes.count(chain) for replica in candidates]
    held = [bytes_of(count) for count in counts]
    least = min(held)
    for size, count, state in chain.earlier_ends():
        if size <= least:
            break
        for index, replica in enumerate(candidates):
            if counts[index] >= count and state in replica.prefixes:
                held[index] = size
                return held
    return held


def cheapest(loads: Sequence[float], held: Sequence[int]) -> int:
    """Find the place with the least load and the most held; the first of equals."""
    best = 0
    best_cost = float("inf")
    for index, load in enumerate(loads):
        cost = load - held[index] * (_TOKENS_PER_READ / BYTES_PER_TOKEN)
        if cost < best_cost:
            best, best_cost = index, cost
    return best
