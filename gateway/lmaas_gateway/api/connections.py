"""All client connections of this process: how many there may be, and how long each may take.

One sweep looks at them; no connection and no request has a timer of its own.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import msgspec

from lmaas_gateway.api.heads import HeadRules
from lmaas_gateway.errors import TooManyConnectionsError
from lmaas_gateway.metrics.names import CONNECTIONS_ENDED
from lmaas_gateway.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.settings import ConnectionSettings

_LOG = logging.getLogger("lmaas.gateway")
_MAX_SWEEP_INTERVAL_S = 1.0
# How many connections above the cap are told so; those beyond are closed at once.
_MAX_TURNED_AWAY = 64
_RETRY_AFTER_S = 5
# Files that are no connection of a client, nor to a replica on its behalf: the log, kept pools, probes.
_OTHER_FILES = 48
_FEWEST = 8
_MAX_KNOWN_ADDRESSES = 4096
_IPV6_PREFIX = 64

NEVER = math.inf


class Bounds(msgspec.Struct, frozen=True):
    """What one connection may take: the settings, which cost several times as much to ask on each call."""

    header_timeout_s: float
    body_timeout_s: float
    keep_alive_s: float
    write_stall_s: float
    min_bytes_per_s: int
    max_header_bytes: int

    @classmethod
    def of(cls, settings: ConnectionSettings) -> Bounds:
        """Read them once."""
        return msgspec.convert(settings, cls, from_attributes=True)


class Swept(Protocol):
    """A connection as the sweep sees it.

    Attributes:
        deadline_s: When it must have gone on, by the loop's clock.
        write_deadline_s: When its client must have read something.
        group: What it is counted under, beside all others; set by `Connections`.
    """

    deadline_s: float
    write_deadline_s: float
    group: str | None

    def expire(self, now_s: float) -> None:
        """Do what is to be done when a deadline has passed."""


class Connections:
    """Counts connections, turns away those above the caps, and ends those that dawdle.

    Args:
        settings: Deadlines and caps.
        metrics: Where ended connections are counted.
        max_files: How many files this process may have open; a call needs two, to its client and its replica.
    """

    def __init__(
        self, settings: ConnectionSettings, metrics: Metrics, *, max_files: int = sys.maxsize
    ) -> None:
        self._metrics = metrics
        self._most = max(_FEWEST, (max_files - _OTHER_FILES) // 2)
        self._open = Rounds(self._look, _MAX_SWEEP_INTERVAL_S)
        self._by_address: dict[str, int] = {}
        self._admitted = 0
        self._turned_away = 0
        self.follow(settings)

    def follow(self, settings: ConnectionSettings) -> None:
        """Go by other settings: deadlines and rules for connections that come, caps for all."""
        self.settings = settings
        self.bounds = Bounds.of(settings)
        self._max_connections = min(settings.max_connections, self._most)
        self.rules = HeadRules(settings)
        self._exempt = tuple(ipaddress.ip_network(network) for network in settings.exempt_addresses)
        self._group_of = lru_cache(_MAX_KNOWN_ADDRESSES)(self._find_group)
        shortest_s = min(
            settings.header_timeout_s,
            settings.body_timeout_s,
            settings.write_stall_s,
            settings.keep_alive_s,
        )
        self._open.interval_s = min(_MAX_SWEEP_INTERVAL_S, shortest_s / 8)

    def __len__(self) -> int:
        """How many are open, those that are being turned away included."""
        return len(self._open)

    def admit(self, connection: Swept, address: str | None) -> GatewayError | None:
        """Take a new connection in, or tell why it is turned away; `leave` must follow in both cases.

        Args:
            connection: Swept from now on.
            address: Of its client; None on a unix socket, whose clients are not told apart.
        """
        group = None if address is None else self._group_of(address)
        if self._admitted >= self._max_connections:
            return self._turn_away(connection, "total")
        if group is not None:
            count = self._by_address.get(group, 0)
            if count >= self.settings.max_connections_per_address:
                return self._turn_away(connection, "address")
            self._by_address[group] = count + 1
        connection.group = group
        self._admitted += 1
        self._open.add(connection)
        return None

    def leave(self, connection: Swept, *, was_admitted: bool) -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)
        if not was_admitted:
            self._turned_away -= 1
            return
        self._admitted -= 1
        group = connection.group
        if group is not None:
            self._by_address[group] -= 1
            if not self._by_address[group]:
                del self._by_address[group]

    @property
    def is_crowded(self) -> bool:
        """Whether so many are being turned away that the next are closed without a word."""
        return self._turned_away > _MAX_TURNED_AWAY

    def count_ended(self, reason: str) -> None:
        """Count a connection that was ended by one of the rules."""
        self._metrics.count(CONNECTIONS_ENDED, (reason,))

    def _turn_away(self, connection: Swept, cap: str) -> GatewayError:
        self._turned_away += 1
        self.count_ended(f"too_many_{cap}")
        self._open.add(connection)
        whose = "from this address" if cap == "address" else "to this gateway"
        return TooManyConnectionsError(
            f"Too many open connections {whose}; use fewer, or retry later.", retry_after_s=_RETRY_AFTER_S
        )

    def _find_group(self, address: str) -> str | None:
        """Find what a client's connections are counted under: its address, or an IPv6 network of one host."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return address
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        if any(parsed in network for network in self._exempt):
            return None
        if parsed.version == 6:
            return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
        return str(parsed)

    def _look(self, connections: Iterable[Swept], now_s: float) -> None:
        late = [
            connection
            for connection in connections
            if now_s >= connection.deadline_s or now_s >= connection.write_deadline_s
        ]
        for connection in late:
            try:
                connection.expire(now_s)
            except Exception:
                # One that cannot be ended must not keep all others from it.
                _LOG.exception("a connection that was late could not be ended")
