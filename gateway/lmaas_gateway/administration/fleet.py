"""The models that are served and the engines launched for them: shown, started, stopped, their logs read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from lmaas_gateway.configuration.changes import ScaleModel
from lmaas_gateway.errors import BadRequestError, ReplicaNotFoundError
from lmaas_gateway.replicas import engine_log
from lmaas_gateway.replicas.pool import PoolState, ReplicaState
from lmaas_gateway.settings import ModelKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.deeds import Deeds
    from lmaas_gateway.configuration.steering import Steering
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.replicas.pool import LaunchStatus, Pool, Replica


class Scale(msgspec.Struct, forbid_unknown_fields=True):
    """How many engines a model is to have."""

    replicas: Annotated[int, msgspec.Meta(ge=0, le=64)]


class LogQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which log is read, and how much of it."""

    replica: str | None = None
    lines: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 200


class ServedReplica(msgspec.Struct):
    """One replica of a model, as the gateway sees it.

    Attributes:
        name: Unique in the gateway.
        state: Whether it takes calls, and if not, why.
        in_flight: The calls that it works on.
        problem: Why it is down; empty when it is not.
        launch: Where its engine stands, if the gateway launched it: `preparing`, `starting`, `ready`,
            `restarting`, `failed` or `stopped`.
        restarts: How often its engine was started again.
        last_error: Why its engine ended last.
    """

    name: str
    state: ReplicaState
    in_flight: int
    problem: str
    launch: str | None = None
    restarts: int = 0
    last_error: str | None = None


class ServedModel(msgspec.Struct):
    """One model that the gateway serves.

    Attributes:
        model: Its name.
        kind: Which routes it has.
        state: How much of it serves; `stopped` if it is to have no replica.
        is_launched: Whether the gateway launches its engines, so that they can be started and stopped here.
        max_model_len: Its context length in tokens, once known.
        replicas: What serves it.
    """

    model: str
    kind: ModelKind
    state: PoolState
    is_launched: bool
    max_model_len: int | None
    replicas: list[ServedReplica]
    object: Literal["served_model"] = "served_model"


class ServedModels(msgspec.Struct):
    """All models that the gateway serves."""

    data: list[ServedModel]
    object: Literal["list"] = "list"


class EngineLog(msgspec.Struct):
    """The end of the log of an engine that the gateway launched.

    Attributes:
        replica: Its name.
        lines: The last lines, oldest first.
    """

    replica: str
    lines: list[str]
    object: Literal["engine_log"] = "engine_log"


class Fleet:
    """Shows models, starts and stops those whose engines the gateway launches, and reads their logs.

    It asks nobody who may: `Actors.require_fleet` does, before.

    Args:
        directory: Gives the models that are served.
        steering: Changes how many engines there are; None where nothing can be changed.
        deeds: Write down who changes what.
    """

    def __init__(
        self, *, directory: Callable[[], Directory], steering: Steering | None, deeds: Deeds
    ) -> None:
        self._directory = directory
        self._steering = steering
        self._deeds = deeds

    def models(self) -> list[ServedModel]:
        """Show all models, in the order of the configuration."""
        return [self._describe(pool) for pool in self._directory()]

    def show(self, model: str) -> ServedModel:
        """Show one model.

        Raises:
            ModelNotFoundError: it is not served here.
        """
        return self._describe(self._directory().find(model))

    async def scale(self, actor: Actor, model: str, replicas: int | None) -> ServedModel:
        """Launch so many engines of a model; returns before they are ready.

        Args:
            actor: Who wants it.
            model: Its name.
            replicas: How many; 0 stops it, None starts as many as the configuration wants, one at least.
                Those that are too many finish their calls first.

        Raises:
            ModelNotFoundError: it is not served here.
            InvalidConfigurationError: its engines are not launched here, or the machine cannot have so many.
        """
        if self._steering is None:
            raise BadRequestError("This gateway's models are fixed: nothing launches any.")
        name = self._directory().find(model).name
        action = "models.start" if replicas is None else "models.scale" if replicas else "models.stop"
        async with self._deeds.doing(actor, action, ("model", name), replicas=replicas):
            await self._steering.change(ScaleModel(name, replicas))
        return self.show(model)

    async def log(self, model: str, replica: str | None = None, *, lines: int = 200) -> EngineLog:
        """Read the end of an engine's log.

        Args:
            model: Its name.
            replica: Which of its replicas; the first if it is not said.
            lines: How many lines at most, 1 to 2,000; no more than the last 64 KiB are read.

        Raises:
            ModelNotFoundError: it is not served here.
            ReplicaNotFoundError: it has no such replica, or its engine was not launched here.
        """
        pool = self._directory().find(model)
        for known, status in self._launches(pool):
            if replica in {None, known.name}:
                text = await asyncio.to_thread(
                    engine_log.tail, Path(status.url.removeprefix("unix:")).with_suffix(".log")
                )
                return EngineLog(known.name, text.splitlines()[-lines:])
        wanted = "no replica" if replica is None else f"no replica {replica[:100]!r}"
        raise ReplicaNotFoundError(
            f"The model {pool.name!r} has {wanted} that was launched here, and so no log of one."
        )

    def _launches(self, pool: Pool) -> list[tuple[Replica, LaunchStatus]]:
        """Pair replicas with what the launcher says of them."""
        directory = self._directory()
        states = {status.url: status for status in pool.launches()}
        placed = ((replica, directory.settings_of(replica).url) for replica in pool.replicas)
        return [(replica, states[url]) for replica, url in placed if url in states]

    def _describe(self, pool: Pool) -> ServedModel:
        launches = dict(self._launches(pool))
        return ServedModel(
            model=pool.name,
            kind=pool.kind,
            state=pool.state,
            # One that is to have no replica had some that were launched: others have to have one.
            is_launched=not pool.replicas or bool(launches),
            max_model_len=pool.max_model_len,
            replicas=[_describe_replica(replica, launches.get(replica)) for replica in pool.replicas],
        )


def _describe_replica(replica: Replica, status: LaunchStatus | None) -> ServedReplica:
    shown = ServedReplica(replica.name, replica.state, replica.load()[1], replica.problem)
    if status is not None:
        shown.launch, shown.restarts, shown.last_error = status.state, status.restarts, status.last_error
    return shown
