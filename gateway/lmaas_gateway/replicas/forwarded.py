"""A call in the hands of a replica: the reply that has begun, and the place that the call takes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.replicas.client import Exchange
    from lmaas_gateway.replicas.pool import Pool, Replica

    Report = Callable[[Pool, Replica, bool], None]


class Forwarded:
    """A call that a replica has begun to answer. Whoever holds it must `close` it; closing never waits.

    Args:
        pool: That of the replica.
        replica: Who answers.
        tokens: What the call was said to cost when it entered the replica.
        entered_ns: The reading of the replica's busy clock then.
        exchange: The reply, its head read.
        first: The first bytes of the reply's body, already read from `exchange`.
        report: Told if the reply breaks, and whether the replica said so itself.

    Attributes:
        busy_ns: The call's share of the replica's time, once it is closed.
    """

    __slots__ = (
        "_entered_ns",
        "_is_broken",
        "_pool",
        "_replica",
        "_report",
        "_tokens",
        "busy_ns",
        "exchange",
        "first",
    )

    def __init__(
        self,
        pool: Pool,
        replica: Replica,
        tokens: int,
        entered_ns: int = 0,
        *,
        exchange: Exchange,
        first: bytes,
        report: Report,
    ) -> None:
        self._pool = pool
        self._replica = replica
        self._tokens = tokens
        self._entered_ns = entered_ns
        self.busy_ns = 0
        self._report = report
        self._is_broken = False
        self.exchange = exchange
        self.first = first

    @property
    def replica_name(self) -> str:
        """The replica's name, for records."""
        return self._replica.name

    @property
    def max_model_len(self) -> int | None:
        """The context length of the replica in tokens, if it is known."""
        return self._replica.max_model_len

    def note_broken(self, *, is_told: bool = False) -> None:
        """Take note that the replica did not bring its reply to a good end.

        Args:
            is_told: The replica itself said so, so that the call may be at fault.
        """
        self._is_broken = True
        self._report(self._pool, self._replica, is_told)

    def close(self) -> None:
        """Give the connection back, or drop it if the reply is not whole; the replica's load falls.

        A call has gone well when its reply is whole, not when it begins: a replica whose streams all break
        must not look well between them.
        """
        exchange = self.exchange
        if exchange.status < 300 and exchange.is_drained and not self._is_broken:
            self._pool.note_success(self._replica)
        self.busy_ns = self._replica.leave(self._tokens) - self._entered_ns
        exchange.close()
