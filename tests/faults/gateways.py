"""The gateway under test: in this process for speed, or `lmaas serve` as a process where that matters."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from faults.clients import KEY
from lmaas_gateway.logs.lines import JsonFormatter
from lmaas_gateway.settings import Settings
from support.serving import run_gateway
from support.stub import Response, ask, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from support.serving import Running


@dataclass(frozen=True, slots=True)
class Vitals:
    """What must be flat: what a gateway holds while nothing happens."""

    rss_bytes: int
    descriptors: int
    tasks: int


class Gateway(Protocol):
    """What a scenario may know of a gateway."""

    port: int

    def access_log(self) -> list[dict[str, Any]]:
        """The lines of the calls that have ended."""

    def written(self) -> str:
        """Everything that it has written: access log and log."""

    async def vitals(self) -> Vitals:
        """What it holds now."""


def config_of(urls: Sequence[str], settings: dict[str, Any]) -> dict[str, Any]:
    """The configuration of one model, `mock`, at these addresses; probed often, with a key and no queue."""
    model: dict[str, Any] = {"name": "mock", "kind": "chat", "max_in_flight": 1000}
    model["replicas"] = [{"url": url} for url in urls]
    model |= settings.pop("model", {})
    return {"probe_interval_s": 0.1, "api_key": KEY, "models": [model], **settings}


async def get(port: int, path: str) -> Response:
    """Ask a gateway for one path."""
    return await ask(port, request_bytes(path, b"", f"authorization: Bearer {KEY}", method="GET"))


OPERATOR = "canary-operator-77c0a1d9e2"
"""The `admin_key` of gateways that have one."""


async def administer(port: int, method: str, path: str, fields: object = b"") -> dict[str, Any]:
    """Ask the admin API, as the operator."""
    bearer = f"authorization: Bearer {OPERATOR}"
    reply = await ask(port, request_bytes(f"/admin/v1{path}", fields, bearer, method=method))
    assert reply.status in {200, 201}, reply.body
    answer: dict[str, Any] = reply.json
    return answer


async def new_project(port: int) -> str:
    """Make a project, in the gateway's organization."""
    if not (await administer(port, "GET", "/organizations"))["data"]:
        await administer(port, "POST", "/organizations", {"name": "acme"})
    project: str = (await administer(port, "POST", "/projects", {"name": "web"}))["id"]
    return project


async def metric(port: int, name: str, **labels: str) -> float:
    """The sum of a gateway's samples of `name` that have these labels."""
    text = (await get(port, "/metrics")).body.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def vitals_of(pid: int, tasks: int) -> Vitals:
    """Read what a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Vitals(pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/fd").iterdir())), tasks)


class GatewayHere:
    """A gateway in this process: descriptors and tasks are this process's."""

    def __init__(self, running: Running, log: _Log) -> None:
        self.port = running.port
        self.running = running
        self._log = log

    def access_log(self) -> list[dict[str, Any]]:
        return self.running.log

    def written(self) -> str:
        return "\n".join([*self._log.lines, *(line.decode() for line in self.running.lines)])

    async def vitals(self) -> Vitals:
        gc.collect()
        return vitals_of(os.getpid(), len(asyncio.all_tasks()))


class _Log(logging.Handler):
    """Keeps what the gateway logs beside its access log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.asynccontextmanager
async def gateway_here(config: dict[str, Any], *, is_ready: bool = True) -> AsyncIterator[GatewayHere]:
    """Serve in this process until the end of the block."""
    log, logger = _Log(), logging.getLogger("lmaas")
    logger.addHandler(log)
    try:
        async with run_gateway(Settings.model_validate(config), is_ready=is_ready) as running:
            yield GatewayHere(running, log)
    finally:
        logger.removeHandler(log)


class GatewayProcess:
    """`lmaas serve` as a process, seen from outside.

    Args:
        folder: For its configuration and what it writes.
        config: The configuration.
        command: What runs `lmaas`, behind the interpreter.
        under: A command that runs the interpreter.

    Attributes:
        config: Its configuration file, which may be rewritten.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], command: Sequence[str] = (), under: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._under = under
        self._command = command or ("-c", "import sys; from lmaas.cli import main; sys.exit(main())")
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0
        self.config = folder / "lmaas.yaml"
        self.write_config(config)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, if it has ended."""
        return None if self._process is None else self._process.returncode

    @property
    def output(self) -> Path:
        """The folder of what it writes."""
        return self._folder

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the configuration in one step; JSON is YAML."""
        draft = self.config.with_suffix(".draft")
        draft.write_text(json.dumps({"port": 0, "open": True, **config}))
        draft.replace(self.config)

    async def start(self, *, within_s: float = 60.0) -> None:
        """Start, and wait until it says that it is ready."""
        with (
            (self._folder / "stdout").open("ab") as out,
            (self._folder / "stderr").open("ab") as err,
        ):
            said_before = (self._folder / "stderr").stat().st_size
            self._process = await asyncio.create_subprocess_exec(
                *(*self._under, sys.executable, *self._command),
                *("serve", "--config", str(self.config)),
                stdout=out,
                stderr=err,
                env={name: value for name, value in os.environ.items() if not name.startswith("LMAAS_")},
            )
        async with asyncio.timeout(within_s):
            self.port = await self._greeted(said_before)

    async def _greeted(self, start: int) -> int:
        while True:
            said = self._said(start)
            for line in said.splitlines():
                if line.startswith(b"Ready: "):
                    return int(line.split(b"/v1")[0].rpartition(b":")[2])
            assert self.code is None, f"it ended before it was ready: {said.decode()}"
            await asyncio.sleep(0.02)

    def _said(self, start: int) -> bytes:
        try:
            return (self.output / "stderr").read_bytes()[start:]
        except FileNotFoundError:
            return b""

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def ended(self, *, within_s: float = 30.0) -> int:
        """Wait for its end; give its exit code."""
        assert self._process is not None
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    def access_log(self) -> list[dict[str, Any]]:
        lines = (self.output / "stdout").read_bytes().split(b"\n")[:-1]
        return [line for line in map(msgspec.json.decode, lines) if "request_id" in line]

    def log(self) -> str:
        """What it has written to standard error."""
        return (self.output / "stderr").read_text("utf-8")

    def written(self) -> str:
        return (self.output / "stdout").read_text("utf-8") + self.log()

    async def vitals(self) -> Vitals:
        return vitals_of(self.pid, int(await metric(self.port, "lmaas_event_loop_tasks")))

    async def __aenter__(self) -> GatewayProcess:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def stop(self, *, within_s: float = 15.0) -> None:
        """SIGTERM, if it still runs; wait for its end."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        try:
            await self.ended(within_s=within_s)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise
