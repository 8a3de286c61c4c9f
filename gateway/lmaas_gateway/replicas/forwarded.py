"""A call in the hands of a replica: the reply that has begun, and the place that the call takes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmaas_gateway.replicas.client import Exchange
    from lmaas_gateway.replicas.pool import Replica


class Forwarded:
    """A call that a replica has begun to answer. Whoever holds it must `close` it; closing never waits.

    Attributes:
        exchange: The reply, its head read.
        first: The first bytes of the reply's body, already read from `exchange`.
    """

    __slots__ = ("_replica", "_tokens", "exchange", "first")

    def __init__(self, replica: Replica, tokens: int, exchange: Exchange, first: bytes) -> None:
        self._replica = replica
        self._tokens = tokens
        self.exchange = exchange
        self.first = first

    @property
    def replica_name(self) -> str:
        """The replica's name, for records."""
        return self._replica.name

    def close(self) -> None:
        """Give the connection back, or drop it if the reply is not whole; the replica's load falls."""
        self._replica.leave(self._tokens)
        self.exchange.close()
