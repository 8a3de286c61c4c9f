"""The routes of operators: what they show, what they change, and whom they refuse."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.testing import FakeReplica, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.serving import Running
    from support.stub import Response

KEY = "operators-key-of-this-test"
BEARER = f"authorization: Bearer {KEY}"
NOWHERE = "http://127.0.0.1:9"


class Operator:
    """Calls the admin API of one gateway."""

    def __init__(self, running: Running) -> None:
        self.running = running

    async def __call__(self, method: str, path: str, fields: object = b"") -> Response:
        return await self.running.request(method, "/admin/v1" + path, fields, BEARER)

    async def replicas(self) -> dict[str, dict[str, Any]]:
        pools = (await self("GET", "/pools")).json["data"]
        return {replica["name"]: replica for pool in pools for replica in pool["replicas"]}


@contextlib.asynccontextmanager
async def operated(*replicas: FakeReplica | str, **fields: Any) -> AsyncIterator[Operator]:
    async with run_gateway(settings_for(*replicas, admin_key=KEY, **fields)) as running:
        yield Operator(running)


async def test_there_are_no_admin_routes_without_an_admin_key() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        assert (await running.get("/admin/v1/pools", BEARER)).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("authorization: Bearer wrong",),
        (f"authorization: Basic {KEY}",),
        ("x-api-key: wrong",),
        ("authorization: Bearer an-api-key-of-callers",),
        ("authorization: Bearer \xe9",),
    ],
)
async def test_only_the_admin_key_lets_in(headers: tuple[str, ...]) -> None:
    async with FakeReplica() as replica, operated(replica, api_key="an-api-key-of-callers") as operator:
        for method, path in (("GET", "/pools"), ("POST", "/config/reload"), ("DELETE", "/replicas/mock-0")):
            reply = await operator.running.request(method, "/admin/v1" + path, b"", *headers)
            assert reply.status == 401
            assert reply.error["code"] == "invalid_api_key"
        assert (await operator("GET", "/pools")).status == 200


async def test_admin_key_is_read_from_every_header_that_holds_keys_and_two_must_agree() -> None:
    async with FakeReplica() as replica, operated(replica) as operator:
        get = operator.running.get
        for header in (f"x-api-key: {KEY}", f"api-key: {KEY}", f"authorization: bearer {KEY}"):
            assert (await get("/admin/v1/pools", header)).status == 200
        assert (await get("/admin/v1/pools", BEARER, f"x-api-key: {KEY}")).status == 200
        refused = await get("/admin/v1/pools", BEARER, "x-api-key: another")
        assert (refused.status, refused.error["code"]) == (400, "invalid_header")


async def test_admin_key_is_not_a_callers_key() -> None:
    async with FakeReplica() as replica, operated(replica, api_key="an-api-key-of-callers") as operator:
        assert (await operator.running.post(CHAT, ASK, BEARER)).status == 401


async def test_pools_are_listed_with_the_load_of_each_replica() -> None:
    async with FakeReplica() as replica, operated(replica) as operator:
        operator.running.pool.replicas[0].enter(11)
        reply = await operator("GET", "/pools")
        assert reply.json["leaving"] == []
        (pool,) = reply.json["data"]
        assert (pool["model"], pool["kind"], pool["state"]) == ("mock", "chat", "ready")
        (shown,) = pool["replicas"]
        assert (
            shown.items()
            >= {
                "name": "mock-0",
                "url": replica.url,
                "ready": True,
                "draining": False,
                "weight": 1.0,
                "in_flight": 1,
                "outstanding_tokens": 11,
            }.items()
        )
        assert (await operator("GET", "/pools/mock")).json == pool
        assert (await operator("GET", "/pools/mok")).error["code"] == "model_not_found"
        operator.running.pool.replicas[0].leave(11)


async def test_added_replica_takes_calls_and_survives_a_reload() -> None:
    async with FakeReplica() as first, FakeReplica() as second, operated(first) as operator:
        added = {"model": "mock", "url": second.url, "weight": 3}
        reply = await operator("POST", "/replicas", added)
        assert reply.json == {"changed": True, "generation": 2}
        assert (await operator("POST", "/config/reload")).json == {"changed": False, "generation": 2}
        replicas = await operator.replicas()
        assert list(replicas) == ["mock-0", "mock-1"]
        assert (replicas["mock-1"]["ready"], replicas["mock-1"]["weight"]) == (True, 3)
        await operator("PATCH", "/replicas/mock-1", {"weight": 5})
        assert (await operator.replicas())["mock-1"]["weight"] == 5
        again = await operator("POST", "/replicas", added)
        assert (again.status, again.error["param"]) == (400, "url")
        assert "is called 'mock-1'" in again.error["message"]


async def test_removed_replica_finishes_its_call_and_is_gone() -> None:
    slow = Script(tokens=20, token_gap_s=0.02)
    async with (
        FakeReplica(script=slow) as first,
        FakeReplica() as second,
        operated(first) as operator,
        raw_client(operator.running.port) as client,
    ):
        client.send(request_bytes(CHAT, {**STREAM, "max_tokens": 20}))
        await client.head()
        await operator("POST", "/replicas", {"model": "mock", "url": second.url})
        assert (await operator("DELETE", "/replicas/mock-0")).json["changed"]
        assert (await operator("GET", "/pools")).json["leaving"] == [{"name": "mock-0", "in_flight": 1}]
        assert list(await operator.replicas()) == ["mock-1"], "it keeps its name"
        assert (await operator.running.post(CHAT, ASK)).status == 200
        body = b""
        while piece := await client.chunk():
            body += piece
        assert body.endswith(b"data: [DONE]\n\n")
        await operator.running.until(lambda: not operator.running.gateway.directory.leaving)
        assert (await operator("POST", "/config/reload")).json["changed"] is False, "the file still has it"
        assert list(await operator.replicas()) == ["mock-1"]


async def test_removed_replica_can_be_added_again_and_removed_again() -> None:
    async with FakeReplica() as first, FakeReplica() as second, operated(first, second) as operator:
        assert (await operator("DELETE", "/replicas/mock-0")).status == 200
        assert (await operator("POST", "/replicas", {"model": "mock", "url": first.url})).status == 200
        names = list(await operator.replicas())
        assert len(names) == 2
        assert (await operator("DELETE", f"/replicas/{names[1]}")).status == 200
        assert list(await operator.replicas()) == ["mock-1"]


async def test_draining_replica_takes_no_calls_until_it_may_again() -> None:
    async with FakeReplica() as first, FakeReplica() as second, operated(first, second) as operator:
        await operator("PATCH", "/replicas/mock-0", {"draining": True})
        for _ in range(4):
            assert (await operator.running.post(CHAT, ASK)).status == 200
        assert (len(first.record.calls), len(second.record.calls)) == (0, 4)
        await operator("PATCH", "/replicas/mock-0", {"weight": 2.5})
        shown = (await operator.replicas())["mock-0"]
        assert (shown["draining"], shown["weight"]) == (True, 2.5)
        await operator("PATCH", "/replicas/mock-0", {"draining": False})
        await operator("PATCH", "/replicas/mock-1", {"draining": True})
        assert (await operator.running.post(CHAT, ASK)).status == 200
        assert len(first.record.calls) == 1


async def test_reset_forgets_what_operators_changed() -> None:
    async with FakeReplica() as first, FakeReplica() as second, operated(first) as operator:
        await operator("POST", "/replicas", {"model": "mock", "url": second.url})
        await operator("PATCH", "/replicas/mock-0", {"weight": 2})
        assert (await operator("POST", "/config/reset")).json["changed"]
        replicas = await operator.replicas()
        assert [(name, shown["weight"]) for name, shown in replicas.items()] == [("mock-0", 1.0)]


@pytest.mark.parametrize(
    ("method", "path", "fields", "status", "code", "says"),
    [
        ("POST", "/replicas", {"model": "mock"}, 400, "invalid_body", "url"),
        ("POST", "/replicas", {"model": "mock", "url": "ftp://x"}, 400, "invalid_configuration", "address"),
        ("POST", "/replicas", {"model": "mock", "url": NOWHERE, "wait": 1}, 400, "invalid_body", "wait"),
        ("POST", "/replicas", {"model": "no", "url": NOWHERE}, 404, "model_not_found", "'no'"),
        ("POST", "/replicas", b"nonsense", 400, "invalid_body", "JSON"),
        ("POST", "/replicas", b"x" * 70_000, 413, "body_too_large", "65536"),
        ("DELETE", "/replicas/nobody", b"", 404, "replica_not_found", "'nobody'"),
        ("DELETE", "/replicas/mock-0", b"", 400, "invalid_configuration", "no replica that takes calls"),
        ("PATCH", "/replicas/mock-0", {"draining": True}, 400, "invalid_configuration", "no replica that"),
        ("PATCH", "/replicas/mock-0", {"weight": 0}, 400, "invalid_body", "> 0"),
        ("PATCH", "/replicas/nobody", {"weight": 1}, 404, "replica_not_found", "'nobody'"),
        ("POST", "/models/mock/scale", {"replicas": 2}, 400, "invalid_configuration", "not launched here"),
        ("POST", "/models/mock/scale", {"replicas": -1}, 400, "invalid_body", ">= 0"),
        ("PUT", "/pools", b"", 405, "method_not_allowed", "GET"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_reason_and_changes_nothing(
    method: str, path: str, fields: object, status: int, code: str, says: str
) -> None:
    async with FakeReplica() as replica, operated(replica) as operator:
        before = operator.running.gateway.directory
        reply = await operator(method, path, fields)
        assert (reply.status, reply.error["code"]) == (status, code)
        assert says in reply.error["message"]
        assert operator.running.gateway.directory is before
        assert (await operator.running.post(CHAT, ASK)).status == 200


async def test_reload_that_fails_answers_with_the_reason_and_is_counted() -> None:
    def broken() -> Any:
        raise SettingsError("lmaas.yaml, line 3: models.0.name: too long")

    async with (
        FakeReplica() as replica,
        run_gateway(settings_for(replica, admin_key=KEY), load=broken) as running,
    ):
        reply = await Operator(running)("POST", "/config/reload")
        assert (reply.status, reply.error["code"]) == (400, "invalid_configuration")
        assert "lmaas.yaml, line 3" in reply.error["message"]
        assert (await running.post(CHAT, ASK)).status == 200
        metrics = (await running.get("/metrics")).body.decode()
        assert 'lmaas_config_reloads_total{result="refused"} 1.0' in metrics


async def test_effective_settings_are_shown_without_secrets() -> None:
    async with FakeReplica() as replica, operated(replica, api_key="a-secret-of-the-callers") as operator:
        added = {"model": "mock", "url": NOWHERE, "api_key": "a-secret-of-the-replica"}
        assert (await operator("POST", "/replicas", added)).status == 200
        reply = await operator("GET", "/config")
        assert reply.json["models"][0]["replicas"][1]["url"] == NOWHERE
        assert reply.json["timeouts"]["connect_s"] == 2.0
        assert b"a-secret-of" not in reply.body
        assert KEY.encode() not in reply.body
