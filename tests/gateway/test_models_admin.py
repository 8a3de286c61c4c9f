"""The models' own routes of the admin API, on launched engines: shown, stopped, started, their logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.processes import eventually
from gateway.test_fleet import fleet, one
from lmaas_gateway.administration.actor import OPERATOR, Actor
from lmaas_gateway.administration.deeds import Deeds
from lmaas_gateway.administration.fleet import Fleet
from lmaas_gateway.errors import (
    BadRequestError,
    InvalidConfigurationError,
    ModelNotFoundError,
    ReplicaNotFoundError,
)
from lmaas_gateway.testing import FakeReplica
from support.serving import ASK, CHAT, run_gateway, settings_for, settings_of

if TYPE_CHECKING:
    from gateway.test_fleet import Fleet as Launched

KEY = "operators-key-of-this-test"
WHO = Actor(OPERATOR, "operator", "owner")
BEARER = f"authorization: Bearer {KEY}"


def fleet_of(running: Launched) -> Fleet:
    return Fleet(
        directory=lambda: running.gateway.directory, steering=running.configuration, deeds=Deeds(None)
    )


async def test_launched_model_is_shown_with_its_engine_stopped_and_started() -> None:
    async with fleet(one) as running:
        await running.rig.ready()
        models = fleet_of(running)
        (shown,) = models.models()
        assert (shown.model, shown.is_launched) == ("m", True)
        assert [(replica.launch, replica.restarts) for replica in shown.replicas] == [("ready", 0)]
        stopped = await models.scale(WHO, "m", 0)
        assert (stopped.state, stopped.is_launched, stopped.replicas) == ("stopped", True, [])
        assert len((await models.scale(WHO, "m", None)).replicas) == 1
        assert len((await models.scale(WHO, "m", 2)).replicas) == 2


async def test_engines_log_is_read_from_its_end() -> None:
    async with fleet(lambda rig: rig.model_settings(replicas=2)) as running:
        await running.rig.ready()
        models = fleet_of(running)
        first, second = running.pool().replicas
        for launch, text in zip(running.pool().launches(), ("one", "two"), strict=True):
            path = launch.url.removeprefix("unix:").removesuffix(".sock") + ".log"
            with open(path, "a", encoding="utf-8") as log:  # noqa: PTH123, ASYNC230 - a few bytes, in a test
                log.write("".join(f"{text} {number}\n" for number in range(5)))
        assert (await models.log("m", lines=2)).lines == ["one 3", "one 4"]
        told = await models.log("m", second.name, lines=1)
        assert (told.replica, told.lines) == (second.name, ["two 4"])
        with pytest.raises(ReplicaNotFoundError, match="no replica 'other'"):
            await models.log("m", "other")
        assert first.name == (await models.log("m")).replica


async def test_what_was_not_launched_here_is_neither_stopped_nor_has_it_a_log() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        models = running.gateway.fleet
        assert not models.show("mock").is_launched
        with pytest.raises(InvalidConfigurationError, match="not launched here"):
            await models.scale(WHO, "mock", 0)
        with pytest.raises(ReplicaNotFoundError, match="no replica that was launched"):
            await models.log("mock")
        with pytest.raises(ModelNotFoundError, match="Did you mean"):
            models.show("mok")
        fixed = Fleet(directory=lambda: running.gateway.directory, steering=None, deeds=Deeds(None))
        with pytest.raises(BadRequestError, match="fixed"):
            await fixed.scale(WHO, "mock", 1)


async def test_routes_show_models_and_say_what_is_wrong() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica, admin_key=KEY)) as running:
        listed = (await running.get("/admin/v1/models", BEARER)).json
        assert [model["model"] for model in listed["data"]] == ["mock"]
        assert (await running.get("/admin/v1/models/mock", BEARER)).json == listed["data"][0]
        assert listed["data"][0]["replicas"][0]["state"] == "ready"
        for method, path, body, status in (
            ("GET", "/models?x=1", b"", 400),
            ("GET", "/models/none", b"", 404),
            ("POST", "/models/none/stop", b"", 404),
            ("POST", "/models/mock/stop", b"", 400),
            ("POST", "/models/mock/scale", {"replicas": 65}, 400),
            ("POST", "/models/mock/scale", {"replicas": 1, "more": 1}, 400),
            ("GET", "/models/mock/log?lines=0", b"", 400),
            ("GET", "/models/mock/log", b"", 404),
        ):
            reply = await running.request(method, "/admin/v1" + path, body, BEARER)
            assert (reply.status, bool(reply.error["message"])) == (status, True), path


async def test_calls_of_a_stopped_model_are_told_so_or_go_to_its_fallback() -> None:
    async with FakeReplica() as replica:
        settings = settings_of({"main": [replica], "other": [replica]})
        main = settings.models[0]
        for fallbacks in ((), ("other",)):
            stopped = main.model_copy(update={"replicas": 0, "model": "some/model", "fallbacks": fallbacks})
            both = settings.model_copy(update={"models": (stopped, settings.models[1])})
            async with run_gateway(both, is_ready=False) as serving:
                await eventually(lambda: serving.gateway.directory.pools["other"].state == "ready")
                assert (await serving.get("/readyz")).status == 200
                reply = await serving.post(CHAT, ASK | {"model": "main"})
                if fallbacks:
                    assert reply.status == 200
                else:
                    assert (reply.status, reply.error["code"]) == (503, "model_stopped")
                    assert reply.headers["x-should-retry"] == "false"
                    assert "retry-after" in reply.headers
