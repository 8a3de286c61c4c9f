"""Where a call comes from: the connection's other end, or what a proxy that is trusted says of it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN = "unknown"
"""Where a trusted proxy says what is no address; it lies in no network."""


class Proxies:
    """Proxies whose `X-Forwarded-For` is believed.

    Args:
        networks: Where they are, as CIDR.
    """

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks = [ip_network(network) for network in networks]

    def client_of(self, headers: Sequence[tuple[bytes, bytes]], address: str) -> str:
        """Give the nearest address that is no trusted proxy's; what lies behind that may be made up.

        Args:
            headers: Of the request, names in lower case.
            address: The connection's other end.
        """
        if not self._networks or not self._has(address):
            return address
        for hop in reversed(_hops(headers)):
            address = hop
            if not self._has(hop):
                break
        return address

    def _has(self, address: str) -> bool:
        try:
            at = ip_address(address)
        except ValueError:
            return False
        at = getattr(at, "ipv4_mapped", None) or at
        return any(at in network for network in self._networks)


def _hops(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    values = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    return [_read(hop) for hop in ",".join(values).split(",")] if values else []


def _read(hop: str) -> str:
    """Read one address; some proxies write its port too, and IPv6 in brackets."""
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return UNKNOWN
