"""Choosing one of the replicas that could take a call: plain functions over what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.call import Call
    from lmaas_gateway.replicas.pool import Replica


class Balancer(Protocol):
    """A policy of choice."""

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Replica:
        """Pick one of `candidates`, of which there are at least two."""
        ...


class LeastLoad:
    """The replica with the fewest outstanding tokens; of equals, the one with the fewest calls in flight."""

    def choose(self, call: Call, candidates: Sequence[Replica]) -> Replica:
        """Pick the least loaded; the first of equals."""
        del call
        return min(candidates, key=_load)


def _load(replica: Replica) -> tuple[int, int]:
    return replica.load()
