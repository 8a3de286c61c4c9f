"""A context that follows its files: connections that begin after a change use what is there then."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.tls.contexts import listener_context, replica_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lmaas_gateway.settings import ReplicaSettings, TlsSettings

    Stamp = tuple[int, int, int] | None

_LOG = logging.getLogger("lmaas.gateway")


class RenewedContext(ssl.SSLContext):
    """Hands every connection to the newest context that could be made of the files.

    The event loop keeps the context that a listener was opened with. So that one stands in for those that
    come after it; connections that are open keep theirs to their end.

    Args:
        protocol: Whether it is a server's or a client's.
        build: Makes a context of the files.
        paths: The files.

    Raises:
        SettingsError: the files cannot be used as they are.
    """

    def __new__(
        cls, protocol: ssl._SSLMethod, build: Callable[[], ssl.SSLContext], paths: Sequence[Path]
    ) -> RenewedContext:
        """Make the context that stands in for others; nothing of its own is ever used."""
        del build, paths
        return super().__new__(cls, protocol)

    def __init__(
        self, protocol: ssl._SSLMethod, build: Callable[[], ssl.SSLContext], paths: Sequence[Path]
    ) -> None:
        super().__init__()
        del protocol
        self._build = build
        self._paths = tuple(paths)
        self._seen = self._stamps()
        self._settling: tuple[Stamp, ...] | None = None
        self._newest = build()

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection; this is what asyncio and uvloop ask a context for."""
        return self._newest.wrap_bio(*args, **options)

    async def look(self) -> None:
        """Renew if the files have changed and then not changed again until the next look."""
        if not self._paths:
            return
        stamps = await asyncio.to_thread(self._stamps)
        if stamps == self._seen:
            self._settling = None
        elif stamps != self._settling:
            # Who writes them one by one may be in the middle of it.
            self._settling = stamps
        else:
            await self.renew()

    async def renew(self) -> bool:
        """Read the files now; tell whether they could be used. If not, what serves goes on."""
        self._seen = await asyncio.to_thread(self._stamps)
        self._settling = None
        try:
            self._newest = await asyncio.to_thread(self._build)
        except Exception as error:
            # Whatever is in the files, it must not end who looks at them.
            seen = None if isinstance(error, SettingsError) else error
            _LOG.error(
                "TLS files were not taken, those read before go on being used: %s", error, exc_info=seen
            )
            return False
        _LOG.info("TLS files were read again: %s", ", ".join(map(str, self._paths)))
        return True

    def _stamps(self) -> tuple[Stamp, ...]:
        return tuple(map(_stamp, self._paths))


def _stamp(path: Path) -> Stamp:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ino, state.st_size


def open_listener(settings: TlsSettings) -> RenewedContext | None:
    """Make what the listener encrypts with; None if it does not.

    Raises:
        SettingsError: the files cannot be used as they are.
    """
    cert_file = settings.cert_file
    if cert_file is None:
        return None
    return RenewedContext(
        ssl.PROTOCOL_TLS_SERVER,
        lambda: listener_context(settings, cert_file),
        _named(cert_file, settings.key_file, settings.client_ca_file),
    )


def open_replica(settings: ReplicaSettings) -> RenewedContext:
    """Make what connections to an `https` replica are encrypted with.

    Raises:
        SettingsError: the files cannot be used as they are.
    """
    return RenewedContext(
        ssl.PROTOCOL_TLS_CLIENT,
        lambda: replica_context(settings),
        _named(settings.ca_file, settings.cert_file, settings.key_file),
    )


def _named(*paths: Path | None) -> tuple[Path, ...]:
    return tuple(path for path in paths if path is not None)
