"""The whole gateway in this process, on a free port, with everything that it logs at hand."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn

from lmaas_gateway.app import Gateway
from lmaas_gateway.assembly.surroundings import Surroundings
from lmaas_gateway.configuration.live import Configuration
from lmaas_gateway.http_server import GatewayServer, uvicorn_config
from lmaas_gateway.server import listen
from lmaas_gateway.settings import Settings
from support.stub import Response, ask, request_bytes

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator

    from lmaas_gateway.board import Seat
    from lmaas_gateway.policy.fetching import MediaFetcher
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.tenancy import Tenancy
    from lmaas_gateway.testing import FakeReplica

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "one two three"}]}
STREAM: dict[str, Any] = {**ASK, "stream": True, "max_tokens": 3}


def settings_for(*replicas: FakeReplica | str, **fields: Any) -> Settings:
    """Settings of one model, `mock`, at these replicas or addresses; probed often."""
    urls = [replica if isinstance(replica, str) else replica.url for replica in replicas]
    model = {
        "name": "mock",
        "kind": fields.pop("kind", "chat"),
        "replicas": [{"url": url} for url in urls],
    }
    return Settings.model_validate({"probe_interval_s": 0.05, "models": [model], **fields})


def settings_of(models: dict[str, list[FakeReplica]], **fields: dict[str, Any]) -> Settings:
    """Settings of several chat models at their replicas; `fields` are further settings by model."""
    entries = [
        {
            "name": name,
            "kind": "chat",
            "replicas": [{"url": replica.url} for replica in replicas],
            **fields.get(name, {}),
        }
        for name, replicas in models.items()
    ]
    return Settings.model_validate({"probe_interval_s": 0.05, "models": entries})


@dataclass
class Running:
    """A gateway that serves."""

    port: int
    gateway: Gateway
    configuration: Configuration
    server: uvicorn.Server
    lines: list[bytes] = field(default_factory=list)
    admin_port: int = 0

    @property
    def log(self) -> list[dict[str, Any]]:
        """The access log."""
        return [msgspec.json.decode(line) for line in self.lines]

    @property
    def in_flight(self) -> int:
        """Calls that the gateway believes its replicas work on."""
        return sum(replica.in_flight for pool in self.gateway.directory for replica in pool.replicas)

    @property
    def pool(self) -> Pool:
        """The first pool."""
        return next(iter(self.gateway.directory))

    async def post(self, path: str, fields: object, *headers: str) -> Response:
        """Make one call on a connection of its own."""
        return await ask(self.port, request_bytes(path, fields, *headers))

    async def get(self, path: str, *headers: str) -> Response:
        """Ask for one path on a connection of its own."""
        return await ask(self.port, request_bytes(path, b"", *headers, method="GET"))

    async def request(self, method: str, path: str, fields: object = b"", *headers: str) -> Response:
        """Make one request of any method on a connection of its own."""
        return await ask(self.port, request_bytes(path, fields, *headers, method=method))

    async def logged(self, count: int = 1) -> dict[str, Any]:
        """Wait until so many calls have ended; give the record of the last."""
        await self.until(lambda: len(self.lines) >= count)
        return self.log[count - 1]

    async def until(self, condition: Any, *, within_s: float = 10.0) -> None:
        """Wait for what happens in this process, beside the test."""
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.005)


class _Server(GatewayServer):
    """uvicorn without a hand on the test run's signals, and quick to notice that it shall stop."""

    async def main_loop(self) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.005)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, but without its pause where there is nobody to wait for."""
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def run_gateway(
    settings: Settings,
    *,
    is_ready: bool = True,
    seat: Seat | None = None,
    load: Callable[[], Settings] | None = None,
    fetcher: MediaFetcher | None = None,
    tenancy: Tenancy | None = None,
) -> AsyncIterator[Running]:
    """Serve until the end of the block, as `serve_socket` does, on a free port.

    Args:
        settings: Its host and port are not used.
        is_ready: Wait until every replica has passed its first probe.
        seat: Of one of several workers, its place among them.
        load: Reads the settings again when the configuration is reloaded; default: the same.
        fetcher: Fetches media for callers.
        tenancy: Knows the tenants; it is not closed here.
    """
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listen("127.0.0.1", 0))]
        if settings.admin.port is not None:
            listeners.append(stack.enter_context(listen("127.0.0.1", 0)))
        async with _serving(settings, listeners, is_ready, seat, load, fetcher, tenancy) as running:
            yield running


@contextlib.asynccontextmanager
async def _serving(
    settings: Settings,
    listeners: list[socket.socket],
    is_ready: bool,
    seat: Seat | None,
    load: Callable[[], Settings] | None,
    fetcher: MediaFetcher | None,
    tenancy: Tenancy | None,
) -> AsyncIterator[Running]:
    lines: list[bytes] = []
    configuration = Configuration(settings, load or (lambda: settings))
    ports = [listener.getsockname()[1] for listener in listeners]
    around = Surroundings(
        log=lines.append,
        seat=seat,
        steering=configuration,
        fetcher=fetcher,
        tenancy=tenancy,
        admin_port=ports[1] if ports[1:] else None,
    )
    gateway = Gateway(configuration.settings, around)
    configuration.attach(gateway)
    server = _Server(uvicorn_config(settings, gateway), settings.tls.handshake_timeout_s)
    serving = asyncio.create_task(server.serve(sockets=listeners))
    running = Running(ports[0], gateway, configuration, server, lines, admin_port=ports[-1])
    try:
        await running.until(lambda: server.started or serving.done())
        if is_ready:
            await running.until(lambda: all(pool.state == "ready" for pool in gateway.directory))
        yield running
    finally:
        server.should_exit = True
        await serving
