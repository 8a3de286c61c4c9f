"""Put into the metrics what each launched engine takes of this machine."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lmaas_gateway.host.gpus import ask_gpus, find_tool
from lmaas_gateway.host.processes import look_at, visible_gpus
from lmaas_gateway.metrics import names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from lmaas_gateway.host.gpus import Gpu
    from lmaas_gateway.host.processes import Footprint
    from lmaas_gateway.metrics import Metrics

INTERVAL_S = 5.0
# Where the tool failed, it is not asked at every look.
_RETRY_LOOKS = 12

Labels = tuple[str, ...]


class Engine(NamedTuple):
    """An engine that runs here.

    Attributes:
        model: Its model.
        replica: The name of its replica.
        pid: Of its first process.
    """

    model: str
    replica: str
    pid: int


class HostWatch:
    """Looks at the engines' processes and GPUs every five seconds.

    Args:
        engines: Lists those that run.
        look: Looks at one process and its descendants.
        tool: NVIDIA's; None where there is none.
        ask: Asks it for the GPUs.
        pause: Waits for so many seconds.
    """

    def __init__(
        self,
        engines: Callable[[], Iterable[Engine]],
        *,
        look: Callable[[int], Footprint | None] = look_at,
        tool: str | None = None,
        ask: Callable[[str], Awaitable[tuple[Gpu, ...]]] = ask_gpus,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engines = engines
        self._look = look
        self._tool = tool or find_tool()
        self._ask = ask
        self._pause = pause
        self._metrics: Metrics | None = None
        self._footprints: dict[Engine, Footprint] = {}
        self._gpus: dict[str, dict[Labels, float]] = {}
        self._looks_to_skip = 0

    def report_to(self, metrics: Metrics) -> None:
        """Say what is found there from now on; one process of a gateway does."""
        self._metrics = metrics
        metrics.watch(names.REPLICA_MEMORY, self._memories)
        for spec in (names.REPLICA_GPU_USE, names.REPLICA_GPU_POWER, names.REPLICA_GPU_MEMORY):
            metrics.watch(spec, partial(self._readings, spec.name))

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._pause(INTERVAL_S)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        engines = tuple(self._engines())
        found = await asyncio.to_thread(self._look_at_all, engines)
        if self._metrics is not None:
            for engine, footprint in found.items():
                seconds = footprint.cpu_since(self._footprints.get(engine))
                self._metrics.count(names.REPLICA_CPU, (engine.model, engine.replica), seconds)
        self._footprints = found
        await self._look_at_gpus(found)

    def _look_at_all(self, engines: Iterable[Engine]) -> dict[Engine, Footprint]:
        looked = {engine: self._look(engine.pid) for engine in engines}
        return {engine: footprint for engine, footprint in looked.items() if footprint is not None}

    async def _look_at_gpus(self, found: Mapping[Engine, Footprint]) -> None:
        if self._tool is None or not found:
            return
        if self._looks_to_skip:
            self._looks_to_skip -= 1
            return
        gpus = await self._ask(self._tool)
        self._looks_to_skip = 0 if gpus else _RETRY_LOOKS
        readings: dict[str, dict[Labels, float]] = {}
        for engine, footprint in found.items():
            for gpu, memory_bytes in _gpus_of(engine, footprint, gpus):
                labels = (engine.model, engine.replica, gpu.index)
                values = {
                    names.REPLICA_GPU_USE: gpu.utilization,
                    names.REPLICA_GPU_POWER: gpu.power_w,
                    names.REPLICA_GPU_MEMORY: memory_bytes,
                }
                for spec, value in values.items():
                    if value is not None:
                        readings.setdefault(spec.name, {})[labels] = value
        self._gpus = readings

    def _readings(self, name: str) -> Iterable[tuple[Labels, float]]:
        return self._gpus.get(name, {}).items()

    def _memories(self) -> Iterator[tuple[Labels, float]]:
        for engine, footprint in self._footprints.items():
            yield (engine.model, engine.replica), footprint.memory_bytes


def _gpus_of(engine: Engine, footprint: Footprint, gpus: Iterable[Gpu]) -> Iterator[tuple[Gpu, float | None]]:
    """Find the GPUs that an engine is on, and how much of their memory is its own.

    Where the tool tells no processes that are known here, as in a container, they are those that the engine
    was told to use, and the memory is what is in use by whomever.
    """
    told: frozenset[str] | None = None
    for gpu in gpus:
        own = [memory for pid, memory in gpu.processes.items() if pid in footprint.pids]
        if own:
            yield gpu, sum(own)
            continue
        if told is None:
            told = visible_gpus(engine.pid)
        if gpu.index in told or gpu.uuid in told:
            yield gpu, gpu.memory_bytes
