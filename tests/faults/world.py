"""One scenario's world: a gateway, its replicas, its clients; at the end the invariants are checked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from faults import invariants
from faults.clients import ASK, KEY, History
from faults.gateways import GatewayProcess, Vitals, config_of, gateway_here, get
from faults.replicas import KEEP_ALIVE_S, ReplicaHere, ReplicaProcess
from lmaas import AsyncLMaaS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from faults.clients import Told
    from faults.gateways import Gateway
    from faults.replicas import Replica
    from lmaas_gateway.testing import Attempt

QUICK = {"connect_s": 0.5, "first_byte_s": 1.5, "idle_s": 1.5, "total_s": 9.0}
"""Deadlines towards replicas, short enough for tests."""


class World:
    """What a scenario works with.

    Attributes:
        deadline_s: When a call must have ended at the latest.
        history: Every call that clients made.
        pulse: Seconds that `/livez` took, each time; -1 where it did not answer 200.
        is_stopped: The scenario has stopped the gateway: it is not asked whether it is well.
    """

    def __init__(self, gateway: Gateway, replicas: Sequence[Replica], *, deadline_s: float) -> None:
        self.gateway = gateway
        self.replicas = replicas
        self.deadline_s = deadline_s
        self.history = History(gateway.port)
        self.pulse: list[float] = []
        self.is_stopped = False
        self.answers_to_be_sure = 1
        self.baseline: Vitals | None = None

    def attempts(self) -> list[Attempt]:
        """What all replicas saw, warm-up calls left out."""
        known = {told.request_id for told in self.history.calls}
        return [
            attempt
            for replica in self.replicas
            for attempt in replica.attempts()
            if attempt.request_id in known
        ]

    def attempts_of(self, told: Told) -> list[Attempt]:
        """What all replicas saw of one call."""
        return [attempt for attempt in self.attempts() if attempt.request_id == told.request_id]

    def line_of(self, told: Told) -> dict[str, Any]:
        """What the access log says of one call."""
        (line,) = (line for line in self.gateway.access_log() if line["request_id"] == told.request_id)
        return line

    def sdk(self, **options: Any) -> AsyncLMaaS:
        """Our own client; without retries unless told."""
        return AsyncLMaaS(
            **{
                "base_url": f"http://127.0.0.1:{self.gateway.port}/v1",
                "api_key": KEY,
                "max_retries": 0,
                "circuit_breaker": None,
                **options,
            },
        )

    async def until(self, condition: Any, *, within_s: float = 15.0) -> None:
        """Wait for what happens elsewhere."""
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.01)

    async def until_ready(self, status: int = 200, *, within_s: float = 30.0) -> None:
        """Wait until `/readyz` answers so."""
        async with asyncio.timeout(within_s):
            # Of several workers each knows for itself: all are ready if many answers in a row say so.
            row = 0
            while row < (1 if status != 200 else self.answers_to_be_sure):
                row = row + 1 if await self._readyz() == status else 0
                await asyncio.sleep(0.02)

    async def _readyz(self) -> int:
        try:
            return (await get(self.gateway.port, "/readyz")).status
        except (OSError, asyncio.IncompleteReadError):
            return 0

    async def until_state(self, state: str, *, within_s: float = 30.0) -> None:
        """Wait until the model is in this state."""
        async with asyncio.timeout(within_s):
            while (await get(self.gateway.port, "/readyz")).json["models"]["mock"]["state"] != state:
                await asyncio.sleep(0.02)

    async def warm_up(self) -> None:
        """Use every path once, so that what stays for ever is in the baseline."""
        warm = History(self.gateway.port)
        await warm.calls_of(*[{**ASK, "max_tokens": 1, "stream": bool(n % 2)} for n in range(4)])
        await get(self.gateway.port, "/metrics")
        await asyncio.sleep(KEEP_ALIVE_S + 0.1)
        self.baseline = await self.gateway.vitals()

    async def settle(self) -> None:
        """Take what is held now for what an idle gateway holds: connections to stores are made late."""
        now = await self.gateway.vitals()
        # One to read and one to write, of which either may not have been needed yet.
        self.baseline = replace(now, descriptors=now.descriptors + 2)

    async def beat(self) -> None:
        """Ask `/livez` again and again."""
        while True:
            started = time.monotonic()
            try:
                is_live = (await get(self.gateway.port, "/livez")).status == 200
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                is_live = False
            self.pulse.append(time.monotonic() - started if is_live else -1.0)
            await asyncio.sleep(0.1)

    async def check(self) -> None:
        """Check every invariant; wait for nothing longer than it may take."""
        calls = self.history.calls
        await self._until_idle()
        attempts, log = self.attempts(), self.gateway.access_log()
        invariants.check_ends(calls, deadline_s=self.deadline_s)
        invariants.check_one_line_each(calls, log)
        invariants.check_books(calls, log, attempts)
        invariants.check_single_commit(calls, log, attempts)
        invariants.check_no_secrets(self.gateway.written())
        if not self.is_stopped:
            assert min(self.pulse, default=0.0) >= 0, "the gateway did not answer /livez"
            metrics = (await get(self.gateway.port, "/metrics")).body.decode()
            invariants.check_no_secrets(metrics)
            await self._check_vitals()

    async def _until_idle(self) -> None:
        """I4."""
        try:
            await self.until(lambda: not any(replica.running() for replica in self.replicas), within_s=1.5)
        except TimeoutError:
            running = [replica.running() for replica in self.replicas]
            raise AssertionError(f"replicas still work for nobody: {running}") from None
        ids = {told.request_id for told in self.history.calls if not told.has_left}
        with contextlib.suppress(TimeoutError):
            await self.until(
                lambda: ids <= {line["request_id"] for line in self.gateway.access_log()}, within_s=2
            )

    async def _check_vitals(self) -> None:
        assert self.baseline is not None
        patience = asyncio.get_running_loop().time() + 6
        while True:
            now = await self.gateway.vitals()
            is_flat = now.descriptors <= self.baseline.descriptors and now.tasks <= self.baseline.tasks
            if is_flat or asyncio.get_running_loop().time() > patience:
                break
            await asyncio.sleep(0.05)
        invariants.check_vitals(self.baseline, now)


@contextlib.asynccontextmanager
async def world_of(
    *replicas: Replica,
    process_in: Path | None = None,
    process_class: type[GatewayProcess] = GatewayProcess,
    command: Sequence[str] = (),
    urls: Sequence[str] = (),
    is_ready: bool = True,
    deadline_s: float = 10.0,
    **settings: Any,
) -> AsyncIterator[World]:
    """Serve these replicas; at the end of the block check the invariants.

    Args:
        replicas: Started already.
        process_in: Run `lmaas serve` as a process with this folder, instead of a gateway in this process.
        process_class: Which kind of process.
        command: What runs `lmaas` then, behind the interpreter.
        urls: Where the gateway finds the replicas, if not at their own addresses.
        is_ready: Wait until every replica has passed a probe, and warm up.
        deadline_s: When each call must have ended.
        settings: Of the gateway; `model` holds those of the model.
    """
    config = config_of(urls or [replica.url for replica in replicas], {"timeouts": QUICK, **settings})
    async with contextlib.AsyncExitStack() as stack:
        gateway: Gateway
        if process_in is None:
            gateway = await stack.enter_async_context(gateway_here(config, is_ready=is_ready))
        else:
            gateway = await stack.enter_async_context(process_class(process_in, config, command))
        world = World(gateway, replicas, deadline_s=deadline_s)
        world.answers_to_be_sure = 1 if settings.get("workers", 1) == 1 else 40
        beating = asyncio.create_task(world.beat())
        try:
            if is_ready:
                await world.until_ready()
            await world.warm_up()
            yield world
            await world.check()
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)


@contextlib.asynccontextmanager
async def replicas_here(count: int, **script: Any) -> AsyncIterator[list[ReplicaHere]]:
    """Fake replicas in this process."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ReplicaHere.make(**script)) for _ in range(count)]


@contextlib.asynccontextmanager
async def replica_processes(folder: Path, count: int, **script: Any) -> AsyncIterator[list[ReplicaProcess]]:
    """Fake replicas as processes, started at the same time."""
    replicas = [ReplicaProcess(folder, f"replica-{number}", **script) for number in range(count)]
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield replicas
    finally:
        for replica in replicas:
            await replica.kill()
