"""Launches this machine's replicas: models prepared, one engine process per replica, all kept running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas import catalog, machine
from lmaas_gateway.replicas.engine import EngineSpec, command, environment, shares
from lmaas_gateway.replicas.engine_process import EngineProcess
from lmaas_gateway.replicas.probe import is_serving
from lmaas_gateway.replicas.runtime_folder import RuntimeFolder
from lmaas_gateway.replicas.supervisor import Clock, ReplicaStatus, Supervisor, WatchPolicy
from lmaas_gateway.settings import EngineSettings, ModelSettings, ReplicaSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from lmaas_gateway.replicas.engine import Device, Share
    from lmaas_gateway.settings import Settings

_GRACE_MARGIN_S = 5.0
"""How much longer than its own draining an engine gets to end."""


@dataclass(frozen=True, slots=True)
class _Replica:
    socket_path: Path
    supervisor: Supervisor


@dataclass(frozen=True, slots=True)
class _Launched:
    """A model whose replicas run here."""

    settings: ModelSettings
    source: catalog.ModelSource
    replicas: tuple[_Replica, ...]


class Launcher:
    """Starts and supervises every replica that the settings want launched.

    Args:
        models: All models of the settings; those whose replicas run elsewhere are left alone.
        engine: How to launch.
        runtime_dir: Folder for sockets and logs; None for a private one that goes when the launcher stops.
        cache_dir: Folder for prepared models; None for the user's cache folder.
        report: Takes lines for people: what goes on, how far, how long; called from any thread.
        probe: Asks the replica at a url whether it serves.
        environ: What engines inherit; None for this process's own.
        clock: Where time comes from.

    Raises:
        SettingsError: a model reference means nothing, or the runtime folder cannot hold sockets.
    """

    def __init__(
        self,
        models: tuple[ModelSettings, ...],
        engine: EngineSettings,
        runtime_dir: Path | None,
        cache_dir: Path | None,
        *,
        report: Callable[[str], None],
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
        self._probe = probe
        self._clock = clock
        self._stopping = threading.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._launched = {
            model.name: self._plan(model, index, model.model, model.replicas)
            for index, model in enumerate(models)
            if model.model is not None and isinstance(model.replicas, int)
        }

    @property
    def runtime_dir(self) -> Path:
        """Folder of sockets and logs, which exists while the launcher runs."""
        return self._folder.path

    def resolve_models(self) -> tuple[ModelSettings, ...]:
        """Return all models as the gateway reaches them: launched replicas by socket, kinds filled in."""
        return tuple(self._resolve(model) for model in self._models)

    def resolve(self, settings: Settings) -> Settings:
        """Return settings whose launched replicas have their addresses.

        Raises:
            SettingsError: they want other replicas launched.
        """
        wanted = [model for model in settings.models if model.is_launched]
        if wanted != [model for model in self._models if model.is_launched]:
            raise SettingsError("launched models cannot change while the gateway runs; restart it for that")
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
        if not self._launched:
            return
        device = await machine.engine_device(self._python, self._engine.device)
        self._folder.open()
        gpus = machine.gpu_ids(self._environ) if device == "gpu" else ()
        parts = iter(shares(self._models, device=device, cores=machine.usable_cores(), gpus=gpus))
        self._tasks = tuple(
            asyncio.create_task(self._run(model, device, tuple(next(parts) for _ in model.replicas)))
            for model in self._launched.values()
        )
        for task, model in zip(self._tasks, self._launched.values(), strict=True):
            task.add_done_callback(partial(_give_up_after_fault, model))

    async def stop(self) -> None:
        """Let every engine finish its calls, end it and all its processes, and clean up."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._folder.close()

    def _plan(self, model: ModelSettings, index: int, reference: str, count: int) -> _Launched:
        paths = [self._folder.socket_path(model.name, index, replica) for replica in range(count)]
        replicas = tuple(
            _Replica(path, self._supervisor(_replica_name(model, number), path))
            for number, path in enumerate(paths)
        )
        return _Launched(model, catalog.resolve(reference), replicas)

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

    def _resolve(self, model: ModelSettings) -> ModelSettings:
        launched = self._launched.get(model.name)
        if launched is None:
            return model
        # An engine forgets a call a moment later than the gateway does, and must not refuse the next one.
        places = max(1, min(model.max_in_flight, self._engine.max_num_queued_reqs * 7 // 8))
        urls = tuple(
            ReplicaSettings(url=replica.supervisor.status.url, max_in_flight=places)
            for replica in launched.replicas
        )
        return model.model_copy(
            update={"replicas": urls, "kind": model.kind or launched.source.kind or "chat"}
        )

    async def _run(self, model: _Launched, device: Device, parts: tuple[Share, ...]) -> None:
        try:
            prepared = await asyncio.to_thread(self._prepare, model)
        except (SettingsError, OSError) as error:
            for replica in model.replicas:
                replica.supervisor.give_up(str(error))
            return
        # A task group, unlike `gather`, ends only when all of its tasks have: each stops its engine first.
        async with asyncio.TaskGroup() as group:
            for replica, part in zip(model.replicas, parts, strict=True):
                path = replica.socket_path
                spec = EngineSpec(model.settings, prepared, self._engine, self._python, device, path, part)
                group.create_task(self._keep_running(replica, spec))

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


def _give_up_after_fault(model: _Launched, task: asyncio.Task[None]) -> None:
    """Let nobody wait for a model whose task ended with an error that nothing here expects."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        for replica in model.replicas:
            replica.supervisor.give_up(f"a fault of the launcher, please report it: {fault!r}")


def _clear(socket_path: Path, log: Path) -> None:
    """Make way for an engine: a killed one leaves its socket, to which no other can bind. Its log is kept."""
    socket_path.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        log.replace(log.with_name(log.name + ".1"))


def _replica_name(model: ModelSettings, number: int) -> str:
    return model.name if model.replicas == 1 else f"{model.name} replica {number + 1} of {model.replicas}"
