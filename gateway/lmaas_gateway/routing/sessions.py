"""The same replica for all calls of a session, as long as it can bear them: bounded rendezvous hashing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from zlib import crc32

from lmaas_gateway.draws import draw
from lmaas_gateway.notes import Choice
from lmaas_gateway.routing.load import least_loaded, load_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.call import Call
    from lmaas_gateway.replicas.pool import Replica

# A replica takes this much more than its share before a session's calls go to its next one.
_BOUND = 1.25
# With so few calls nobody is overloaded.
_FREE_CALLS = 4


class ConsistentHash:
    """One replica a session; for calls without a session, the least loaded."""

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Choice[Replica]:
        """Pick the session's replica, or the next in its order that is not overloaded."""
        if not call.session or len(candidates) == 1:
            return least_loaded(candidates, call.tokens, "least_tokens")
        per_weight = _calls_per_weight(candidates)
        for replica in by_rendezvous(call.session, candidates):
            calls = replica.load()[1]
            if calls <= replica.queues_above and calls < max(_FREE_CALLS, per_weight * replica.weight):
                loads = [load_of(candidate, call.tokens) for candidate in candidates]
                return Choice(replica, "consistent_hash", candidates, loads, [])
        return least_loaded(candidates, call.tokens, "least_tokens")


def by_rendezvous(session: bytes, candidates: Sequence[Replica]) -> list[Replica]:
    """Put the replicas into the order of a session.

    A replica that comes or goes moves only the sessions that it takes or had; each replica has as many as its
    weight says.

    Source: Schindelhauer and Schomaker 2005, "Weighted distributed hash tables", the logarithmic method.
    """
    key = crc32(session)
    return sorted(
        candidates, key=lambda replica: math.log(draw(key, replica.seed)) / replica.weight, reverse=True
    )


def _calls_per_weight(candidates: Sequence[Replica]) -> float:
    calls = sum(replica.load()[1] for replica in candidates)
    weight = sum(replica.weight for replica in candidates)
    return math.ceil(_BOUND * (calls + 1)) / weight
