"""Breaks a gateway's replicas on purpose, one thing at a time, and knows what may be answered meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faults.clients import asking
from faults.gateways import GatewayProcess, config_of, get
from faults.replicas import ReplicaProcess
from faults.world import QUICK, World, world_of
from lmaas_gateway.testing import FaultProxy
from lmaas_gateway.testing.toxics import Latency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from faults.clients import Talk, Told

SETTLED_S = 1.0
"""A replica that has been well for so long is expected to serve, if the gateway says that it is ready."""
SLOW_S = 0.15
EXPECTED_CODES = {
    "replica_unavailable",
    "replica_timeout",
    "replica_busy",
    "replica_error",
    "bad_replica_reply",
    "model_not_ready",
    "deadline_exceeded",
    "queue_timeout",
    "queue_wait_too_long",
    "queue_full",
}
SETTINGS: dict[str, Any] = {
    "timeouts": QUICK,
    "ejection": {"base_s": 0.5, "max_s": 1.0},
    "stream_keep_alive_s": 0.5,
}


@dataclass
class Seat:
    """One replica behind its proxy, and when something was last done to it.

    Attributes:
        hurt_s: The last moment at which it was not well.
    """

    replica: ReplicaProcess
    proxy: FaultProxy
    is_stopped: bool = False
    hurt_s: float = 0.0

    @property
    def is_well(self) -> bool:
        return self.replica.is_up and not self.is_stopped and not self.proxy.to_client


class Driver:
    """Does one thing after another to a gateway process with three replicas.

    Attributes:
        streams: Those under way.
    """

    def __init__(self, world: World, seats: Sequence[Seat], config: dict[str, Any]) -> None:
        self.world = world
        self.seats = seats
        self.streams: list[asyncio.Task[Told]] = []
        self.talks: list[Talk] = []
        self._config = config
        self._weight = 1.0

    @property
    def gateway(self) -> GatewayProcess:
        assert isinstance(self.world.gateway, GatewayProcess)
        return self.world.gateway

    async def kill(self, number: int) -> None:
        seat = self._hurt(number)
        await seat.replica.kill()
        seat.is_stopped = False

    async def start(self, number: int) -> None:
        seat = self.seats[number]
        if not seat.replica.is_up:
            await seat.replica.start()
            self._hurt(number)

    async def stop(self, number: int) -> None:
        seat = self._hurt(number)
        if seat.replica.is_up:
            seat.replica.stop()
            seat.is_stopped = True

    async def go_on(self, number: int) -> None:
        seat = self._hurt(number)
        if seat.is_stopped:
            seat.replica.go_on()
            seat.is_stopped = False

    async def slow(self, number: int) -> None:
        self._hurt(number).proxy.to_client[:] = [Latency(SLOW_S)]

    async def cut(self, number: int) -> None:
        """Break every connection of a replica."""
        self._hurt(number).proxy.reset()

    async def heal(self, number: int) -> None:
        """Make everything well that is wrong with one replica."""
        self._hurt(number).proxy.heal()
        await self.go_on(number)
        await self.start(number)

    async def heal_all(self) -> None:
        """Make all replicas well, and wait until the gateway knows."""
        await asyncio.gather(*(self.heal(number) for number in range(len(self.seats))))
        await self.world.until_state("ready", within_s=30)

    async def reload(self, *, broken: bool) -> None:
        """Give the gateway another configuration; a broken one must change nothing."""
        if broken:
            self.gateway.config.write_text("models: [{name: mock, replicas: 0")
        else:
            self._weight = 3.0 - self._weight
            model = {**self._config["models"][0]}
            model["replicas"] = [{**one, "weight": self._weight} for one in model["replicas"]]
            self.gateway.write_config({**self._config, "models": [model]})
        self.gateway.signal(signal.SIGHUP)

    async def call(self, *, stream: bool = False) -> Told:
        """Make a short call, and check that it ended as it may."""
        is_served = await self.is_served()
        told = await self.world.history.call(asking(stream=stream, tokens=4))
        if told.outcome == "interrupted" and stream:
            return told
        if is_served and all(self._well_since(seat, told.started_s) for seat in self.seats if seat.is_well):
            assert told.outcome == "ok", f"a replica is well, but: {told.outcome} {told.code}"
        else:
            assert told.outcome == "ok" or told.code in EXPECTED_CODES, f"{told.outcome} {told.code}"
        return told

    async def is_served(self) -> bool:
        """Whether a replica that has been well for a while is ready in the gateway's eyes."""
        models = (await get(self.gateway.port, "/readyz")).json["models"]["mock"]["replicas"]
        now = time.monotonic()
        return any(
            known["ready"] and seat.is_well and now - seat.hurt_s > SETTLED_S
            for known, seat in zip(models, self.seats, strict=True)
        )

    async def open_stream(self, tokens: int) -> None:
        """Begin a stream that goes on while other things happen."""
        self.streams.append(asyncio.create_task(self._stream(tokens)))
        await asyncio.sleep(0.05)

    async def leave(self, chance: float) -> None:
        """Let the client of one running stream go."""
        if self.talks:
            self.talks[int(chance * len(self.talks)) % len(self.talks)].leave(reset=chance > 0.5)
            await asyncio.sleep(0.01)

    async def end_streams(self) -> None:
        """Wait for the ends of all streams."""
        streams, self.streams = self.streams, []
        await asyncio.gather(*streams)

    async def check_live(self) -> None:
        started = time.monotonic()
        assert (await get(self.gateway.port, "/livez")).status == 200
        assert time.monotonic() - started < 2

    async def _stream(self, tokens: int) -> Told:
        async with self.world.history.open(asking(stream=True, tokens=tokens, token_gap_s=0.03)) as talk:
            self.talks.append(talk)
            try:
                told = await talk.finish()
            finally:
                self.talks.remove(talk)
        assert told.outcome in {"ok", "left", "interrupted"} or told.code in EXPECTED_CODES, told
        if told.outcome == "interrupted":
            await self._check_blame(told)
        return told

    async def _check_blame(self, told: Told) -> None:
        """A stream is interrupted only if something was done to its replica meanwhile."""
        with contextlib.suppress(TimeoutError):
            await self.world.until(lambda: self._lines(told))
        (line,) = self._lines(told)
        seat = self.seats[int(line["replica"].rpartition("-")[2])]
        assert not self._well_since(seat, told.started_s), f"{told.request_id} was interrupted for nothing"

    def _lines(self, told: Told) -> list[dict[str, Any]]:
        return [line for line in self.gateway.access_log() if line["request_id"] == told.request_id]

    def _well_since(self, seat: Seat, moment_s: float) -> bool:
        return seat.is_well and seat.hurt_s < moment_s - SETTLED_S

    def _hurt(self, number: int) -> Seat:
        self.seats[number].hurt_s = time.monotonic()
        return self.seats[number]


@contextlib.asynccontextmanager
async def driving(folder: Path, **settings: Any) -> AsyncIterator[Driver]:
    """Start everything; at the end make all well, and check the invariants."""
    replicas = [ReplicaProcess(folder, f"replica-{number}") for number in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        for replica in replicas:
            stack.push_async_callback(replica.kill)
        await asyncio.gather(*(replica.start() for replica in replicas))
        proxies = [await stack.enter_async_context(FaultProxy(replica.url)) for replica in replicas]
        urls = [proxy.url for proxy in proxies]
        world = await stack.enter_async_context(
            world_of(*replicas, process_in=folder, urls=urls, deadline_s=60, **SETTINGS, **settings)
        )
        seats = [Seat(replica, proxy) for replica, proxy in zip(replicas, proxies, strict=True)]
        driver = Driver(world, seats, config_of(urls, {**SETTINGS, **settings}))
        try:
            yield driver
            await driver.heal_all()
            await driver.end_streams()
        finally:
            for task in driver.streams:
                task.cancel()


async def break_something(driver: Driver, source: random.Random) -> None:
    """Do one thing at random, rather heal than hurt, so that most of the time most replicas are well."""
    number = source.randrange(len(driver.seats))
    hurt = source.choice([driver.kill, driver.stop, driver.slow, driver.cut])
    wounded = [n for n, seat in enumerate(driver.seats) if not seat.is_well]
    if wounded and (len(wounded) > 1 or source.random() < 0.6):
        await driver.heal(source.choice(wounded))
    elif source.random() < 0.15:
        await driver.reload(broken=source.random() < 0.5)
    else:
        await hurt(number)
