"""How busy a replica is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.notes import Choice

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
    outstanding, calls = (
        replica.load() if replica.shared is not None else (replica.outstanding_tokens, replica.in_flight)
    )
    if calls > replica.queues_above:
        outstanding += _WAITING_TOKENS
    return (outstanding + replica.foreign_calls * tokens) / replica.weight


def least_loaded(candidates: Sequence[Replica], tokens: int, policy: str) -> Choice[Replica]:
    """Choose the least loaded replica; of equals the one with the fewest calls, then the first.

    Args:
        candidates: Among whom; at least one.
        tokens: As `load_of` takes them.
        policy: In whose name.
    """
    best = candidates[0]
    least = load_of(best, tokens)
    loads = [least]
    for replica in candidates[1:]:
        load = load_of(replica, tokens)
        loads.append(load)
        if load < least or (load == least and replica.in_flight < best.in_flight):
            best, least = replica, load
    return Choice(best, policy, candidates, loads, [])
