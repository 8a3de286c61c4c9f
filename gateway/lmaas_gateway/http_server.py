"""uvicorn, as it serves a gateway: our protocol, deadlines of TLS, and an end that loses no call."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.lifespan.off import LifespanOff

from lmaas_gateway.acceptor import Acceptor
from lmaas_gateway.api.protocol import GatewayProtocol
from lmaas_gateway.board import SharedBoard
from lmaas_gateway.workers import SAME_SIGNAL_S

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from lmaas_gateway.app import Gateway
    from lmaas_gateway.board import Seat
    from lmaas_gateway.settings import Settings

BACKLOG = 2048
"""How many connections may wait to be accepted."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# How long calls may take to end once they are told to, each time, and the rest of the gateway after them.
_LAST_WORDS_S = 0.5
# A client that does not answer our end of a TLS connection is not waited for.
_TLS_SHUTDOWN_S = 5.0


def uvicorn_config(settings: Settings, gateway: Gateway) -> uvicorn.Config:
    """Tell uvicorn to serve `gateway` with our protocol, which keeps all deadlines of clients itself."""
    tls = gateway.tls
    protocol = partial(GatewayProtocol, connections=gateway.connections)
    return uvicorn.Config(
        gateway.application,
        # A bound method that gives a coroutine, which uvicorn would take for the interface before this one.
        interface="asgi3",
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        ssl_context_factory=None if tls is None else lambda *_: tls,
    )


class GatewayServer(uvicorn.Server):
    """uvicorn, with deadlines for the beginning and end of TLS connections, and as one of several workers.

    Args:
        config: uvicorn's.
        handshake_timeout_s: How long a client may take to become one.
        seat: Of one of several workers, its place among them.
    """

    def __init__(
        self, config: uvicorn.Config, handshake_timeout_s: float, *, seat: Seat | None = None
    ) -> None:
        super().__init__(config)
        self._handshake_timeout_s = handshake_timeout_s
        self._seat = seat

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, which cannot hand the deadlines to the event loop, nor share a socket fairly."""
        if self.config.ssl is None and self._seat is None:
            await super().startup(sockets)
            return
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        protocol = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        make = partial(
            protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        self.servers = [await self._serve_at(sock, make) for sock in sockets or ()]
        self.started = True

    async def _serve_at(
        self, listener: socket.socket, make: Callable[[], asyncio.Protocol]
    ) -> asyncio.base_events.Server:
        loop = asyncio.get_running_loop()
        tls: dict[str, Any] = {}
        if self.config.ssl is not None:
            tls = {
                "ssl": self.config.ssl,
                "ssl_handshake_timeout": self._handshake_timeout_s,
                "ssl_shutdown_timeout": _TLS_SHUTDOWN_S,
            }
        if self._seat is None:
            return await loop.create_server(make, sock=listener, backlog=BACKLOG, **tls)
        listener.setblocking(False)  # noqa: FBT003  # the socket's own way
        acceptor = Acceptor(
            listener,
            lambda connection: loop.connect_accepted_socket(make, connection, **tls),
            lambda: len(self.server_state.connections),
            shared=SharedBoard(self._seat).number(f"connections {listener.getsockname()[1]}"),
            workers=self._seat.slots,
        )
        acceptor.start()
        return cast("asyncio.base_events.Server", acceptor)


class SignalledServer(GatewayServer):
    """uvicorn, told to stop by the event loop's signal handlers.

    Its own handlers raise the signal again when it has stopped, which would end the process before the
    engines are.

    Args:
        config: uvicorn's.
        gateway: Told at once that it stops.
        settings: Tell how long new connections are still taken then.
        seat: A worker's; its parent passes signals on, so that one to their group comes twice.
    """

    def __init__(
        self, config: uvicorn.Config, gateway: Gateway, settings: Settings, *, seat: Seat | None
    ) -> None:
        super().__init__(config, settings.tls.handshake_timeout_s, seat=seat)
        is_worker = seat is not None
        self._gateway = gateway
        self._drain_delay_s = settings.drain_delay_s
        self._signals = (signal.SIGTERM,) if is_worker else _STOP_SIGNALS
        self._same_signal_s = SAME_SIGNAL_S if is_worker else 0.0
        self._told_at_s: float | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal: say so, let load balancers notice, then end; at once at the second."""
        loop = asyncio.get_running_loop()
        for number in self._signals:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in self._signals:
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, but end the gateway after its calls, and in a hurry too."""
        lifespan, self.lifespan = self.lifespan, LifespanOff(self.config)
        await super().shutdown(sockets)
        await self._end_calls()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S if self.force_exit else None):
                await lifespan.shutdown()

    async def _end_calls(self) -> None:
        """Have every call ended, and so logged, while there is a log.

        One that is told may have to wait before it can tell its client, and then is told again.
        """
        for _ in range(2):
            calls = tuple(self.server_state.tasks)
            if not calls:
                return
            for call in calls:
                call.cancel()
            await asyncio.wait(calls, timeout=_LAST_WORDS_S)

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._told_at_s is not None:
            if loop.time() - self._told_at_s >= self._same_signal_s:
                self.force_exit = True
                self._end()
            return
        self._told_at_s = loop.time()
        self._gateway.announce_stop()
        if self._drain_delay_s:
            loop.call_later(self._drain_delay_s, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self.should_exit = True
