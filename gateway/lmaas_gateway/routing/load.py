"""How busy a replica is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.replicas.pool import Replica

# More than any replica has outstanding: one whose calls wait comes after all those whose calls run.
_WAITING_TOKENS = 1 << 40


def load_of(replica: Replica, tokens: int) -> float:
    """Tell what a replica has outstanding, in tokens, divided by its weight.

    Args:
        replica: The replica.
        tokens: What a call is taken to cost that others sent to it, and of which only the number is known.
    """
    outstanding, calls = replica.load()
    outstanding += replica.foreign_calls * tokens
    if calls > replica.queues_above:
        outstanding += _WAITING_TOKENS
    return outstanding / replica.weight


def least_loaded(candidates: Sequence[Replica], tokens: int) -> Replica:
    """Find the least loaded replica; of equals the one with the fewest calls, then the first."""
    return min(candidates, key=lambda replica: (load_of(replica, tokens), replica.load()[1]))
