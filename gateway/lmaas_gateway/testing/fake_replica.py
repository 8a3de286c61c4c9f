"""A scripted vLLM: its routes and shapes without a model, and every way to fail on command.

In process, for tests; each call may bring a script along (header `x-fake-script` or body field `fake`):

    async with FakeReplica() as replica:
        replica.script = Script(tokens=5, fault=Fault.RESET, fault_at=Point.AFTER_EVENTS, fault_events=3)
        ...                                    # call replica.url, through a gateway or directly
        assert replica.calls[0].outcome is Outcome.BROKEN

As a process, for examples and benchmarks; `--fast` answers from precomputed bytes (`fast.py`):

    python -m lmaas_gateway.testing --port 9001 --model mock --ttft-ms 20 --itl-ms 5
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lmaas_gateway.testing import routes
from lmaas_gateway.testing.connection import Connection
from lmaas_gateway.testing.model import FakeModel
from lmaas_gateway.testing.script import Script, script_of
from lmaas_gateway.testing.seen import Outcome, Record, Seen
from lmaas_gateway.testing.wire import Answer, Request, json_answer

if TYPE_CHECKING:
    import ssl

    from lmaas_gateway.testing.journal import Journal


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a fake replica listens: a TCP port (0 takes a free one), or a socket file.

    Attributes:
        host: The address of the TCP port; others than loopback are for network namespaces.
        tls: Serve TLS on the TCP port.
        keep_alive_s: Close a connection this long after a reply, unless its script says otherwise; uvicorn,
            which vLLM runs on, does so after 5 s. None keeps it.
    """

    port: int = 0
    uds: Path | None = None
    tls: ssl.SSLContext | None = None
    keep_alive_s: float | None = None
    host: str = "127.0.0.1"


class FakeReplica:
    """One fake vLLM server; `async with` starts and stops it.

    Attributes:
        model: What it serves.
        script: What happens to a call that neither brings a script nor finds one in `scripts`.
        scripts: Scripts of the next calls, used up one by one.
        probe_script: What happens to GETs (`/health` and the like).
        waiting: What `vllm:num_requests_waiting` says.
        kv_cache_usage_perc: What the metric of that name says, from 0 to 1.
        counts: What further counters say, by their names without `vllm:` and `_total`.
        record: Everything it saw, and `record.until(…)` to wait for it.
    """

    def __init__(
        self,
        model: FakeModel | None = None,
        *,
        listen: Listen | None = None,
        script: Script | None = None,
        api_key: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        journal: Journal | None = None,
    ) -> None:
        self.model = model or FakeModel()
        self.script = script or Script()
        self.scripts: deque[Script] = deque()
        self.probe_script = Script()
        self.waiting = 0
        self.kv_cache_usage_perc = 0.0
        self.counts: dict[str, int] = {}
        self.record = Record(clock, journal)
        self._listen = listen or Listen()
        self._api_key = api_key
        self._port = self._listen.port
        self._server: asyncio.Server | None = None
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._ids = 0

    @property
    def url(self) -> str:
        """Its address, as the gateway's settings take it: `http(s)://host:port` or `unix:/path`."""
        if self._listen.uds is not None:
            return f"unix:{self._listen.uds}"
        return f"http{'s' if self._listen.tls else ''}://{self._listen.host}:{self._port}"

    @property
    def keep_alive_s(self) -> float | None:
        """How long it keeps an idle connection."""
        return self._listen.keep_alive_s

    @property
    def calls(self) -> tuple[Seen, ...]:
        """Every call that it has seen, in order of arrival."""
        return self.record.calls

    @property
    def requests(self) -> int:
        """How many calls came."""
        return len(self.record.calls)

    @property
    def aborted(self) -> int:
        """How many calls their clients left."""
        return self.record.count(Outcome.ABORTED)

    @property
    def running(self) -> int:
        """How many calls are under way; `vllm:num_requests_running` says the same."""
        return self.record.count(None)

    async def start(self) -> None:
        """Listen; after a `stop`, on the same address again."""
        loop = asyncio.get_running_loop()
        if self._listen.uds is not None:
            self._server = await loop.create_unix_server(self._connect, str(self._listen.uds), backlog=4096)
            return
        tls, host = self._listen.tls, self._listen.host
        self._server = await loop.create_server(self._connect, host, self._port, ssl=tls, backlog=4096)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Die as a killed process does: refuse new connections and drop the open ones at once."""
        if self._server is None:
            return
        self._server.close()
        self.reset_connections()
        await self._server.wait_closed()
        self._server = None
        if self._listen.uds is not None:
            self._listen.uds.unlink(missing_ok=True)

    def reset_connections(self) -> None:
        """Drop every open connection, and go on listening."""
        for connection in tuple(self._connections):
            connection.reset()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()
        await self.record.until(lambda: self.record.open_connections == 0)

    def reply(self, request: Request) -> tuple[Answer, Script]:
        """Decide what a request gets, and how it is sent."""
        request_id = self._request_id(request)
        try:
            script = self._choose(request)
            answer = self._answer(request, script, request_id)
        except ValueError as problem:
            script, answer = Script(), routes.bad_script(problem)
        if not request.keeps_alive:
            script = replace(script, close=True)
        headers = (("x-request-id", request_id), *answer.headers)
        return replace(answer, headers=headers), script

    def _connect(self) -> Connection:
        connection = Connection(self)
        self._connections.add(connection)
        return connection

    def _request_id(self, request: Request) -> str:
        self._ids += 1
        return request.headers.get("x-request-id", f"{self._ids:032x}")

    def _choose(self, request: Request) -> Script:
        if request.method != "POST":
            return self.probe_script
        if (brought := script_of(request)) is not None:
            return brought
        return self.scripts.popleft() if self.scripts else self.script

    def _answer(self, request: Request, script: Script, request_id: str) -> Answer:
        is_guarded = self._api_key is not None and request.path.startswith("/v1")
        if is_guarded and request.headers.get("authorization") != f"Bearer {self._api_key}":
            return json_answer({"error": "Unauthorized"}, 401)
        if request.method == "POST":
            return routes.answer(request, self.model, script, request_id)
        return routes.probed(request.path, self.model, script, self._metrics)

    def _metrics(self) -> str:
        labels = f'{{engine="0",model_name="{self.model.name}"}}'
        gauges = {
            "num_requests_running": float(self.running),
            "num_requests_waiting": float(self.waiting),
            "kv_cache_usage_perc": float(self.kv_cache_usage_perc),
            **{f"{name}_total": float(count) for name, count in self.counts.items()},
        }
        return "".join(
            f"# TYPE vllm:{name} gauge\nvllm:{name}{labels} {value}\n" for name, value in gauges.items()
        )
