"""Which URLs and addresses may be fetched on behalf of a caller: plain functions, without any I/O."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lmaas_gateway.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_URL_CHARS = 4096
# Parsers disagree on what these mean, and the one that is fooled decides where we connect.
_DECEPTIVE = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_PORTS = {"https": 443, "http": 80}
# Networks that hold IPv4 addresses within their own, or stand for whatever a translator makes of them.
_TRANSLATED = tuple(
    ipaddress.IPv6Network(network)
    for network in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
)
# Python calls them global, at least in part or in some versions: the way to the nearest 6to4 relay, what
# protocols keep for themselves, and documentation.
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.88.99.0/24", "192.0.0.0/24", "3fff::/20")))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points.

    Attributes:
        scheme: `https` or `http`.
        host: A name in ASCII, or an address without brackets.
        path: With its query; begins with a slash.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str, *, is_http_allowed: bool) -> Target:
    """Take a URL apart, or refuse it where two readers could understand two things.

    Raises:
        MediaError: it is no plain http(s) URL.
    """
    if len(url) > _MAX_URL_CHARS or _DECEPTIVE.search(url):
        raise MediaError("A media URL is too long, or holds a blank, a control character or a backslash.")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _plain_host(parts.hostname or "")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        path.encode("ascii")
    except ValueError:
        raise MediaError("A media URL cannot be understood; percent-encode it, and check its host.") from None
    if parts.scheme not in _PORTS or (parts.scheme == "http" and not is_http_allowed):
        raise MediaError("A media URL must begin with https:// or data:.")
    if "@" in parts.netloc or not path.startswith("/"):
        raise MediaError("A media URL must not hold a user or a password.")
    return Target(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, path)


def is_domain_allowed(host: str, domains: Iterable[str]) -> bool:
    """Tell whether a host is one of `domains`, or below one that begins with a dot; none allow all."""
    domains = tuple(domains)
    return not domains or any(
        host == domain or (domain.startswith(".") and host.endswith(domain)) for domain in domains
    )


def is_global(address: str) -> bool:
    """Tell whether an address is one of the public internet, however it is written."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if "%" in address or any(parsed in network for network in _SPECIAL):
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return is_global(str(parsed.ipv4_mapped))
        if parsed.is_site_local or any(parsed in network for network in _TRANSLATED):
            return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified)


def _plain_host(host: str) -> str:
    """Give a host as a resolver gets it: an address, or a name in ASCII that is not a number in disguise.

    Raises:
        ValueError: it is neither.
    """
    if "%" in host:
        # The zone of an IPv6 address means something on this machine alone.
        raise ValueError(host)
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        name = host.rstrip(".").encode("idna").decode("ascii").lower()
    labels = name.split(".")
    # 127.1, 0x7f.1, 2130706433: no domain ends in a number, but resolvers read these as addresses.
    is_number = labels[-1].isdigit() or labels[-1].startswith("0x")
    if is_number or len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(host)
    return name
