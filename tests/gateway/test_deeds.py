"""What is done to models, replicas and alerts stands in the audit trail: by whom, and if it was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.processes import eventually
from lmaas_gateway.administration.actor import OPERATOR, Actor
from lmaas_gateway.administration.deeds import Deeds
from lmaas_gateway.errors import StoreUnavailableError
from security.worlds import OPERATOR_KEY, world_at
from support.pages import Browser, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.administration.office import Office
    from security.worlds import World


async def trail(world: World, action: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Give who did it to what, and what else is told, oldest first."""
    page = (await world.ask("GET", f"/audit?action={action}")).json
    return [(one["actor"], f"{one['object_kind']} {one['object_id']}", one["detail"]) for one in page["data"]]


async def test_models_and_replicas_that_are_changed_stand_in_it_even_if_that_was_refused(
    tmp_path: Path,
) -> None:
    async with world_at(tmp_path) as world:
        project = (await world.make("/projects", {"name": "chat"}))["id"]
        owner = await world.make("/keys", {"project": project, "name": "o", "scopes": {"admin": "owner"}})
        scaling = await world.ask("POST", "/models/mock/scale", {"replicas": 2}, owner["secret"])
        assert scaling.status == 400
        assert (await world.ask("POST", "/models/mock/stop")).status == 400
        assert (await world.ask("POST", "/models/mock/start")).status == 400
        assert (await world.ask("POST", "/models/none/stop")).status == 404
        assert (await world.ask("PATCH", "/replicas/mock-0", {"weight": 2.0})).status == 200
        assert (await world.ask("DELETE", "/replicas/none")).status == 404
        assert (await world.ask("POST", "/config/reset")).status == 200
        assert (await world.ask("POST", "/config/reload")).status == 200
        scaled = await trail(world, "models.scale")
        assert [(what, detail) for _, what, detail in scaled] == [
            ("model mock", {"replicas": 2}),
            ("model mock", {"replicas": 2, "refused": "invalid_configuration"}),
        ]
        assert {who for who, *_ in scaled} == {owner["id"]}
        stopped = {"replicas": 0}
        assert await trail(world, "models.stop") == [
            ("operator", "model mock", stopped),
            ("operator", "model mock", {**stopped, "refused": "invalid_configuration"}),
        ]
        assert len(await trail(world, "models.start")) == 2
        changed = {"weight": 2.0, "draining": None}
        assert await trail(world, "fleet.change_replica") == [("operator", "replica mock-0", changed)]
        assert (await trail(world, "fleet.remove_replica"))[1][2] == {"refused": "replica_not_found"}
        assert len(await trail(world, "fleet.reset")) == len(await trail(world, "fleet.reload")) == 1
        assert (await world.ask("GET", "/audit/verify")).json["is_intact"]


async def test_silences_stand_in_it_from_the_api_and_from_the_page(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        await world.replica.stop()

        async def firing() -> list[str]:
            alerts = (await world.ask("GET", "/alerts")).json["data"]
            return [one["id"] for one in alerts if one["name"] == "ReplicaDown"]

        await eventually(lambda: world.running.pool.state == "unavailable")
        while not (found := await firing()):
            pass
        wanted = {"duration_s": 3600, "comment": "we know"}
        assert (await world.ask("POST", f"/alerts/{found[0]}/silence", wanted)).status == 200
        assert (await world.ask("POST", "/alerts/alrt_0/silence", wanted)).status == 404
        browser = Browser(world.running, language="zh-CN")
        await browser.sign_in(OPERATOR_KEY)
        assert "mock 的副本 mock-0 不可用：无法连接" in text_of(await browser.get("/ui/alerts"))
        assert "无法连接" in text_of(await browser.get("/ui/models"))
        page = await browser.follow("/ui/alerts/silence", {"id": found[0], "duration_s": "0", "comment": ""})
        assert page.status == 200
        told = {"name": "ReplicaDown", "model": "mock", "replica": "mock-0"}
        assert await trail(world, "alerts.silence") == [
            ("operator", f"alert {found[0]}", {**told, **wanted}),
            ("operator", f"alert {found[0]}", {**told, "duration_s": 0, "comment": ""}),
        ]


async def test_nothing_is_done_that_cannot_be_written_down() -> None:
    class Closed:
        def changing(self) -> object:
            raise StoreUnavailableError("The database does not answer.")

    office: Office = Closed()  # type: ignore[assignment]  # all that is asked of it
    with pytest.raises(StoreUnavailableError):
        async with Deeds(office).doing(Actor(OPERATOR, "operator", "owner"), "models.stop", ("model", "m")):
            raise AssertionError("it was done")
