"""Replicas for tests of single stages: known to be ready, with nothing behind them."""

from __future__ import annotations

from zlib import crc32

from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.pool import Replica
from lmaas_gateway.settings import TimeoutSettings


def make_replica(name: str = "r", *, weight: float = 1.0, tokens: int = 0, calls: int = 0) -> Replica:
    """A ready replica that works on `calls` calls of `tokens` in all."""
    client = ReplicaClient(Address("127.0.0.1", 1), timeouts=TimeoutSettings())
    replica = Replica(name, client, weight=weight, seed=crc32(name.encode()))
    replica.mark_ready("mock", 2048)
    replica.outstanding_tokens, replica.in_flight = tokens, calls
    return replica
