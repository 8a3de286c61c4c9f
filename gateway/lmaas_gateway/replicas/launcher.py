"""Launches this machine's replicas: models prepared, one engine process per replica, all kept running."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.errors import GatewayError, SettingsError
from lmaas_gateway.replicas import catalog, machine
from lmaas_gateway.replicas.engine import EngineSpec, command, environment, shares
from lmaas_gateway.replicas.engine_process import EngineProcess
from lmaas_gateway.replicas.probe import is_serving
from lmaas_gateway.replicas.runtime_folder import RuntimeFolder
from lmaas_gateway.replicas.supervisor import Clock, ReplicaStatus, Supervisor, WatchPolicy
from lmaas_gateway.settings import EngineSettings, ModelSettings, ReplicaSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from lmaas_gateway.replicas.engine import Device, Share
    from lmaas_gateway.settings import Settings

_GRACE_MARGIN_S = 5.0
"""How much longer than its own draining an engine gets to end."""


# What a changed setting of a model needs new engines for.
_ENGINE_FIELDS = ("model", "kind", "max_model_len", "dtype", "kv_cache_memory_bytes", "engine_args")
_DRAIN_INTERVAL_S = 0.5
_RISE_INTERVAL_S = 0.25


@dataclass(slots=True, eq=False)
class _Replica:
    socket_path: Path
    supervisor: Supervisor
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Launched:
    """A model whose replicas run here.

    Attributes:
        index: Keeps its sockets apart from those of other models, and of the same with other settings.
        replicas: Those that serve, or are to.
        spare: More of them, which have an address and nothing else, should they be wanted.
        numbers: Of replicas; none is used twice, as the engine that had it may still be ending.
        preparing: Makes the model ready for its engines, once for all replicas.
    """

    settings: ModelSettings
    source: catalog.ModelSource
    index: int
    replicas: list[_Replica] = field(default_factory=list)
    spare: list[_Replica] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    preparing: asyncio.Task[catalog.PreparedModel] | None = None

    def has_engines_of(self, settings: ModelSettings) -> bool:
        """Whether its engines are what `settings` want, however many."""
        return all(getattr(self.settings, name) == getattr(settings, name) for name in _ENGINE_FIELDS)


class Fleet(Protocol):
    """What the launcher needs of the gateway when engines change while it serves."""

    async def refresh(self) -> object:
        """Let the gateway serve by the addresses that `Launcher.resolve` gives now."""
        ...

    def calls_at(self, model: str, url: str) -> int:
        """Count the calls that a replica works on, for all workers."""
        ...


class Launcher:
    """Starts and supervises every replica that the settings want launched.

    Args:
        models: All models of the settings; those whose replicas run elsewhere are left alone.
        engine: How to launch.
        runtime_dir: Folder for sockets and logs; None for a private one that goes when the launcher stops.
        cache_dir: Folder for prepared models; None for the user's cache folder.
        report: Takes lines for people: what goes on, how far, how long; called from any thread.
        traces_endpoint: Where engines send spans of traced calls; None for nowhere.
        probe: Asks the replica at a url whether it serves.
        environ: What engines inherit; None for this process's own.
        clock: Where time comes from.

    Raises:
        SettingsError: a model reference means nothing, or the runtime folder cannot hold sockets.
    """

    def __init__(  # noqa: PLR0913  # what is launched, how, and where
        self,
        models: tuple[ModelSettings, ...],
        engine: EngineSettings,
        runtime_dir: Path | None,
        cache_dir: Path | None,
        *,
        report: Callable[[str], None],
        traces_endpoint: str | None = None,
        probe: Callable[[str], Awaitable[bool]] = is_serving,
        environ: Mapping[str, str] | None = None,
        clock: Clock = Clock(),  # noqa: B008 - frozen
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._models = models
        self._engine = engine
        self._python = engine.python or sys.executable
        self._cache_dir = cache_dir or catalog.default_cache_dir(self._environ)
        self._folder = RuntimeFolder(runtime_dir, self._environ)
        self._report = report
        self._traces_endpoint = traces_endpoint
        self._probe = probe
        self._clock = clock
        self._stopping = threading.Event()
        self._device: Device | None = None
        self._plans: dict[str, _Launched] = {}
        self._indices = itertools.count(len(models))
        self._leaving: set[asyncio.Task[None]] = set()
        self._swaps: set[asyncio.Task[None]] = set()
        self._rising: dict[str, _Launched] = {}
        self._launched = {
            model.name: self._plan(model, index) for index, model in enumerate(models) if model.is_launched
        }

    @property
    def runtime_dir(self) -> Path:
        """Folder of sockets and logs, which exists while the launcher runs."""
        return self._folder.path

    def resolve(self, settings: Settings) -> Settings:
        """Return settings with models as they are reached: by socket, kinds filled in; starts nothing.

        A model whose engines must be others keeps the old ones until the new are ready.

        Raises:
            SettingsError: a model reference means nothing.
        """
        return settings.model_copy(update={"models": tuple(map(self._resolve, settings.models))})

    def status(self, model_name: str) -> tuple[ReplicaStatus, ...]:
        """Return the state of each replica launched for a model; empty if none is."""
        launched = self._launched.get(model_name)
        return () if launched is None else tuple(replica.supervisor.status for replica in launched.replicas)

    async def start(self) -> None:
        """Begin to prepare, launch and watch, all models side by side; returns before they are ready.

        Raises:
            SettingsError: there is no usable vLLM, or the runtime folder cannot be made.
        """
        await self.get_ready(self._models)
        self._start_missing()

    async def get_ready(self, models: tuple[ModelSettings, ...]) -> None:
        """Make sure that what `models` want launched could be.

        Raises:
            SettingsError: there is no usable vLLM, or the runtime folder cannot be made.
        """
        if self._device is None and any(model.is_launched for model in models):
            device = await machine.engine_device(self._python, self._engine.device)
            self._folder.open()
            self._device = device

    def follow(self, models: tuple[ModelSettings, ...], fleet: Fleet) -> None:
        """Start and stop engines as `models` want, which the gateway serves by now; returns at once.

        Engines that are not wanted any more finish their calls. Where a model wants other engines, they are
        started beside the old, which go when the new are ready: for that time both need memory.
        """
        wanted = {model.name: model for model in models if model.is_launched}
        for name in self._launched.keys() - wanted.keys():
            self._let_go(name, self._launched.pop(name).replicas, fleet)
        for name in self._rising.keys() - wanted.keys():
            self._let_go(name, self._rising.pop(name).replicas, fleet)
        self._models = models
        for name, model in wanted.items():
            launched = self._running(name)
            if launched is None:
                launched = self._launched[name] = self._planned(model)
                del self._plans[name]
            if launched.has_engines_of(model) or not _count(model):
                self._scale(launched, model, fleet)
            else:
                self._raise(model, fleet)
        self._start_missing()

    async def stop(self) -> None:
        """Let every engine finish its calls, end it and all its processes, and clean up."""
        self._stopping.set()
        tasks = [*self._swaps]
        for launched in (*self._launched.values(), *self._rising.values()):
            tasks += [replica.task for replica in launched.replicas if replica.task is not None]
            if launched.preparing is not None:
                launched.preparing.cancel()
        for task in tasks:
            task.cancel()
        # Those that leave see by themselves that they are to end; what is ending must not be disturbed.
        await asyncio.gather(*tasks, *self._leaving, return_exceptions=True)
        self._folder.close()

    def _plan(self, model: ModelSettings, index: int) -> _Launched:
        launched = _Launched(model, catalog.resolve(model.model or ""), index)
        launched.replicas = [self._new_replica(launched) for _ in range(_count(model))]
        return launched

    def _new_replica(self, launched: _Launched) -> _Replica:
        number = next(launched.numbers)
        path = self._folder.socket_path(launched.settings.name, launched.index, number)
        return _Replica(path, self._supervisor(_replica_name(launched.settings, number), path))

    def _supervisor(self, name: str, socket_path: Path) -> Supervisor:
        policy = WatchPolicy(
            start_timeout_s=self._engine.start_timeout_s,
            max_restarts=self._engine.max_restarts,
            restart_backoff_s=self._engine.restart_backoff_s,
        )
        log = socket_path.with_suffix(".log")
        return Supervisor(
            name,
            f"unix:{socket_path}",
            log,
            policy=policy,
            probe=self._probe,
            report=self._report,
            clock=self._clock,
        )

    def _planned(self, model: ModelSettings) -> _Launched:
        """Plan a model that may come to be launched, once: its addresses are asked for before it is."""
        planned = self._plans.get(model.name)
        if planned is None or planned.settings != model:
            planned = self._plans[model.name] = self._plan(model, next(self._indices))
        return planned

    def _running(self, name: str) -> _Launched | None:
        """Give a model that is launched and not stopped: one that is may come back with other engines."""
        launched = self._launched.get(name)
        return launched if launched is not None and launched.replicas else None

    def _resolve(self, model: ModelSettings) -> ModelSettings:
        if not model.is_launched:
            return model
        launched = self._running(model.name) or self._planned(model)
        catalog.resolve(model.model or "")
        replicas = launched.replicas
        if launched.has_engines_of(model) or not _count(model):
            replicas = self._first(launched, _count(model))
        # An engine forgets a call a moment later than the gateway does, and must not refuse the next one.
        places = max(1, min(model.max_in_flight, self._engine.max_num_queued_reqs * 7 // 8))
        urls = tuple(
            ReplicaSettings(url=replica.supervisor.status.url, max_in_flight=places) for replica in replicas
        )
        kind = launched.settings.kind or launched.source.kind or "chat"
        return model.model_copy(update={"replicas": urls, "kind": kind})

    def _first(self, launched: _Launched, count: int) -> list[_Replica]:
        """Give so many replicas of a model; those that are not launched yet have their addresses already."""
        while len(launched.replicas) + len(launched.spare) < count:
            launched.spare.append(self._new_replica(launched))
        return [*launched.replicas, *launched.spare][:count]

    def _scale(self, launched: _Launched, model: ModelSettings, fleet: Fleet) -> None:
        """Change how many replicas a model has."""
        launched.settings = model
        wanted = self._first(launched, _count(model))
        self._let_go(model.name, launched.replicas[len(wanted) :], fleet)
        launched.replicas, launched.spare = wanted, []
        if (rising := self._rising.pop(model.name, None)) is not None:
            self._let_go(model.name, rising.replicas, fleet)

    def _raise(self, model: ModelSettings, fleet: Fleet) -> None:
        """Start other engines for a model beside those that serve."""
        rising = self._rising.get(model.name)
        if rising is not None and rising.settings == model:
            return
        if rising is not None:
            self._let_go(model.name, rising.replicas, fleet)
        rising = self._rising[model.name] = self._plan(model, next(self._indices))
        _keep(self._swaps, asyncio.create_task(self._swap_when_ready(rising, fleet)))

    async def _swap_when_ready(self, rising: _Launched, fleet: Fleet) -> None:
        name = rising.settings.name
        while self._rising.get(name) is rising:
            states = {replica.supervisor.status.state for replica in rising.replicas}
            if states == {"ready"}:
                await self._swap(self._rising.pop(name), fleet)
            elif "failed" in states:
                self._report(f"{name}: FAILED to start with its new settings; the old engines go on serving")
                self._let_go(name, self._rising.pop(name).replicas, fleet)
            await self._clock.sleep(_RISE_INTERVAL_S)

    async def _swap(self, rising: _Launched, fleet: Fleet) -> None:
        name = rising.settings.name
        old, self._launched[name] = self._launched[name], rising
        try:
            await fleet.refresh()
        except GatewayError:
            old, self._launched[name] = rising, old
        else:
            self._report(f"{name}: its new engines are ready; the old ones finish their calls")
        self._let_go(name, old.replicas, fleet)

    def _let_go(self, model: str, replicas: list[_Replica], fleet: Fleet) -> None:
        for replica in replicas:
            if replica.task is not None:
                stop = self._stop_when_idle(model, replica, replica.task, fleet)
                _keep(self._leaving, asyncio.create_task(stop))

    async def _stop_when_idle(
        self, model: str, replica: _Replica, task: asyncio.Task[None], fleet: Fleet
    ) -> None:
        """End an engine that gets no more calls once it has none left, or the launcher stops."""
        idle_looks = 0
        while idle_looks < 2 and not self._stopping.is_set():
            await self._clock.sleep(_DRAIN_INTERVAL_S)
            busy = fleet.calls_at(model, replica.supervisor.status.url)
            idle_looks = 0 if busy else idle_looks + 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _start_missing(self) -> None:
        """Start every replica that is wanted and has not been; each gets its part of the machine."""
        if self._device is None:
            return
        gpus = machine.gpu_ids(self._environ) if self._device == "gpu" else ()
        cores = machine.usable_cores()
        wanted = [*self._launched.values(), *self._rising.values()]
        settings = tuple(
            launched.settings.model_copy(update={"replicas": len(launched.replicas)}) for launched in wanted
        )
        parts = iter(shares(settings, device=self._device, cores=cores, gpus=gpus))
        for launched in wanted:
            for replica in launched.replicas:
                part = next(parts)
                if replica.task is None:
                    replica.task = asyncio.create_task(self._run(launched, replica, self._device, part))
                    replica.task.add_done_callback(partial(_give_up_after_fault, replica))

    async def _run(self, model: _Launched, replica: _Replica, device: Device, part: Share) -> None:
        if model.preparing is None:
            model.preparing = asyncio.create_task(asyncio.to_thread(self._prepare, model))
        try:
            prepared = await asyncio.shield(model.preparing)
        except (SettingsError, OSError) as error:
            replica.supervisor.give_up(str(error))
            return
        path, traces = replica.socket_path, self._traces_endpoint
        spec = EngineSpec(model.settings, prepared, self._engine, self._python, device, path, part, traces)
        await self._keep_running(replica, spec)

    async def _keep_running(self, replica: _Replica, spec: EngineSpec) -> None:
        environ = environment(spec, inherited=self._environ, cache_dir=self._cache_dir)
        grace_s = self._engine.shutdown_timeout_s + _GRACE_MARGIN_S
        log = spec.socket_path.with_suffix(".log")

        async def start() -> EngineProcess:
            _clear(spec.socket_path, log)
            return await EngineProcess.start(command(spec), environ=environ, log=log, grace_s=grace_s)

        await replica.supervisor.run(start)

    def _prepare(self, model: _Launched) -> catalog.PreparedModel:
        def progress(what: str, how_far: str, elapsed_s: float) -> None:
            if self._stopping.is_set():
                raise SettingsError("stopped while the model was prepared")
            self._report(f"{model.settings.name}: {what} ({how_far}) … {elapsed_s:.0f} s")

        return catalog.prepare(
            model.source, cache_dir=self._cache_dir, engine_python=self._python, progress=progress
        )


def _give_up_after_fault(replica: _Replica, task: asyncio.Task[None]) -> None:
    """Let nobody wait for a replica whose task ended with an error that nothing here expects."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        replica.supervisor.give_up(f"a fault of the launcher, please report it: {fault!r}")


def _keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _count(model: ModelSettings) -> int:
    return model.replicas if isinstance(model.replicas, int) else 0


def _clear(socket_path: Path, log: Path) -> None:
    """Make way for an engine: a killed one leaves its socket, to which no other can bind. Its log is kept."""
    socket_path.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        log.replace(log.with_name(log.name + ".1"))


def _replica_name(model: ModelSettings, number: int) -> str:
    return model.name if model.replicas == 1 else f"{model.name} replica {number + 1} of {model.replicas}"
