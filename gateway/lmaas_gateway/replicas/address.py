"""Where a replica listens, and how a socket to it is made to notice that nobody is there any more."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lmaas_gateway.tls.renewal import open_replica

if TYPE_CHECKING:
    from lmaas_gateway.settings import ReplicaSettings
    from lmaas_gateway.tls.renewal import RenewedContext

# A peer that is gone is noticed in 10 s: asked after 4 s of silence, then every 2 s; and what was sent to it
# must be acknowledged in 8 s. Linux knows all of these, other systems some.
_KEEP_ALIVE_OPTIONS = tuple(
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", 4),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 8000),
    )
    if hasattr(socket, name)
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a replica listens: a unix socket path, or host and port, in clear or TLS."""

    host: str
    port: int = 0
    unix_path: str | None = None
    tls: RenewedContext | None = None

    @classmethod
    def parse(cls, settings: ReplicaSettings) -> Address:
        """Read a replica's `url`; an `https` one trusts the system's CAs or its `ca_file`.

        Raises:
            SettingsError: a file of TLS cannot be used.
        """
        if settings.url.startswith("unix:"):
            return cls("localhost", unix_path=settings.url.removeprefix("unix:"))
        parts = urlsplit(settings.url)
        tls = None if parts.scheme != "https" else open_replica(settings)
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls=tls)


def notice_silence(sock: socket.socket) -> None:
    """Have the system ask a silent peer whether it is there: one that lost its power sends no sign."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE_OPTIONS:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
