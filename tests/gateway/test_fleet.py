"""Launched engines that come, go and change while the gateway serves; engines are fakes in real processes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.processes import eventually, is_alive
from gateway.test_launcher import Rig
from lmaas_gateway.app import Gateway
from lmaas_gateway.assembly.surroundings import Surroundings
from lmaas_gateway.configuration.changes import RemoveReplica, ScaleModel
from lmaas_gateway.configuration.live import Configuration
from lmaas_gateway.errors import GatewayError
from lmaas_gateway.settings import ModelSettings, Settings
from lmaas_gateway.testing import FakeReplica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lmaas_gateway.replicas.pool import Pool


class Fleet:
    """A launcher, and a gateway beside it that nobody calls."""

    def __init__(self, rig: Rig, configuration: Configuration, gateway: Gateway) -> None:
        self.rig = rig
        self.configuration = configuration
        self.gateway = gateway
        self.models: tuple[ModelSettings, ...] = ()

    def pool(self, name: str = "m") -> Pool:
        return self.gateway.directory.pools[name]

    def pids(self, name: str = "m") -> list[int | None]:
        assert self.rig.launcher is not None
        return [status.pid for status in self.rig.launcher.status(name)]

    async def reload(self, *models: ModelSettings) -> None:
        self.models = models
        await self.configuration.reload()


@contextlib.asynccontextmanager
async def fleet(*models: Any) -> AsyncIterator[Fleet]:
    with tempfile.TemporaryDirectory(prefix="lm-") as folder:
        rig = Rig(Path(folder))
        wanted = tuple(model if isinstance(model, ModelSettings) else model(rig) for model in models)
        launcher = rig.make(*wanted)

        def settings(models: tuple[ModelSettings, ...]) -> Settings:
            return Settings(models=models, probe_interval_s=0.05)

        configuration = Configuration(settings(wanted), lambda: settings(made.models), launcher=launcher)
        gateway = Gateway(configuration.settings, Surroundings(launches=launcher.status))
        configuration.attach(gateway)
        made = Fleet(rig, configuration, gateway)
        made.models = wanted
        try:
            await launcher.start()
            yield made
        finally:
            await gateway._prober.stop()
            gateway.directory.close()
            await launcher.stop()


def one(rig: Rig) -> ModelSettings:
    return rig.model_settings()


async def test_more_replicas_are_started_beside_those_that_run_and_fewer_end_when_idle() -> None:
    async with fleet(one) as running:
        await running.rig.ready()
        (first,) = running.pids()
        await running.configuration.change(ScaleModel("m", 3))
        assert len(running.pool().replicas) == 3
        await running.rig.ready()
        assert running.pids()[0] == first
        last = running.pids()[2]
        assert last is not None
        busy = running.pool().replicas[2]
        busy.enter(1)
        await running.configuration.change(ScaleModel("m", 1))
        assert len(running.pool().replicas) == 1
        await asyncio.sleep(1.2)
        assert is_alive(last), "it still has a call"
        busy.leave(1)
        await eventually(lambda: not is_alive(last))
        assert running.pids() == [first]
        await running.configuration.change(ScaleModel("m", 2))
        await running.rig.ready()


async def test_stopped_model_ends_its_engine_when_idle_and_comes_back_as_it_was() -> None:
    async with fleet(one) as running:
        await running.rig.ready()
        (first,) = running.pids()
        assert first is not None
        busy = running.pool().replicas[0]
        busy.enter(1)
        await running.configuration.change(ScaleModel("m", 0))
        assert running.pool().state == "stopped"
        await asyncio.sleep(1.2)
        assert is_alive(first), "it still has a call"
        busy.leave(1)
        await eventually(lambda: not is_alive(first))
        assert running.pids() == []
        await running.configuration.change(ScaleModel("m", None))
        await running.rig.ready()
        assert len(running.pids()) == 1
        assert running.pids() != [first]


async def test_model_may_be_stopped_from_the_start_and_is_started_with_one_engine() -> None:
    async with fleet(lambda rig: rig.model_settings(replicas=0)) as running:
        assert (running.pool().state, running.pids()) == ("stopped", [])
        await running.configuration.change(ScaleModel("m", None))
        await running.rig.ready()
        assert len(running.pids()) == 1


async def test_engine_arguments_that_change_while_a_model_is_stopped_count_when_it_starts() -> None:
    async with fleet(one) as running:
        await running.rig.ready()
        await running.configuration.change(ScaleModel("m", 0))
        await running.reload(running.rig.model_settings("--fake", "serve"))
        assert (running.pool().state, running.pids()) == ("stopped", [])
        await running.configuration.change(ScaleModel("m", None))
        await running.rig.ready()
        assert not any("new settings" in line or "new engines" in line for line in running.rig.lines)
        (replica,) = running.pool().replicas
        (status,) = running.pool().launches()
        assert running.gateway.directory.settings_of(replica).url == status.url


async def test_model_that_is_stopped_while_its_new_engines_start_has_none() -> None:
    async with fleet(one) as running:
        await running.rig.ready()
        (first,) = running.pids()
        assert first is not None
        await running.reload(running.rig.model_settings("--fake", "hang"))
        await running.configuration.change(ScaleModel("m", 0))
        await eventually(lambda: not is_alive(first))
        assert (running.pool().state, running.pids()) == ("stopped", [])


async def test_models_come_and_go_without_touching_the_others() -> None:
    async with fleet(one) as running:
        await running.rig.ready()
        (first,) = running.pids()
        other = running.rig.model_settings(name="other")
        await running.reload(*running.models, other)
        await running.rig.ready("other")
        (second,) = running.pids("other")
        assert second is not None
        await running.reload(running.models[0])
        await eventually(lambda: not is_alive(second))
        assert running.pids("other") == []
        await running.reload(running.models[0], other)
        await running.rig.ready("other")
        assert running.pids() == [first]


async def test_other_engine_arguments_swap_when_the_new_engine_is_ready() -> None:
    async with fleet(one) as running:
        await running.rig.ready()
        (old,) = running.pids()
        assert old is not None
        replica = running.pool().replicas[0]
        replica.is_ready = True
        await running.reload(running.rig.model_settings("--fake", "serve"))
        assert running.pids() == [old]
        assert running.pool().replicas == (replica,), "the old one serves until the new one is ready"
        # The fake engine has no model list, so the gateway would not find it ready.
        await eventually(lambda: any("new engines are ready" in line for line in running.rig.lines))
        await eventually(lambda: not is_alive(old))
        assert running.pool().replicas != (replica,)


async def test_other_engine_that_cannot_start_leaves_the_old_one_serving() -> None:
    async with fleet(one) as running:
        await running.rig.ready()
        (old,) = running.pids()
        running.rig.launcher._engine = running.rig.launcher._engine.model_copy(  # type: ignore[union-attr]  # made above
            update={"max_restarts": 0}
        )
        await running.reload(running.rig.model_settings("--fake", "crash"))
        await eventually(lambda: any("the old engines go on" in line for line in running.rig.lines))
        assert running.pids() == [old]


async def test_launched_replica_is_not_removed_by_itself() -> None:
    async with fleet(one) as running:
        with pytest.raises(GatewayError, match="lower the number"):
            await running.configuration.change(RemoveReplica("m-0"))


async def test_gateway_of_running_replicas_can_begin_to_launch() -> None:
    async with FakeReplica() as replica:
        remote = ModelSettings.model_validate({"name": "mock", "replicas": [{"url": replica.url}]})
        async with fleet(remote) as running:
            await running.reload(remote, running.rig.model_settings())
            await running.rig.ready()
            assert list(running.gateway.directory.pools) == ["mock", "m"]


async def test_model_that_means_nothing_is_refused() -> None:
    async with fleet(one) as running:
        with pytest.raises(GatewayError, match="smollm2-135m-instruct"):
            await running.reload(*running.models, ModelSettings(name="x", model="smollm2"))
        assert list(running.gateway.directory.pools) == ["m"]
