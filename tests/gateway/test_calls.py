"""Calls over sockets, and what the admin API tells of them afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from security.worlds import World, bearer, world_at
from support.serving import CHAT, STREAM

if TYPE_CHECKING:
    from pathlib import Path


async def explain(world: World, request_id: str, query: str = "") -> dict[str, Any]:
    reply = await world.ask("GET", f"/calls/{request_id}{query}")
    assert reply.status == 200, reply.body
    explanation: dict[str, Any] = reply.json
    return explanation


def steps(explanation: dict[str, Any]) -> list[str]:
    return [step["name"] for step in explanation["steps"]]


async def test_stream_is_explained_step_by_step(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("acme")
        reply = await world.running.post(CHAT, STREAM, bearer(tenant.plain))
        request_id = reply.headers["x-request-id"]
        found = await explain(world, request_id)
    assert (found["id"], found["outcome"], found["status"]) == (request_id, "ok", 200)
    assert (found["project"], found["key"]) == (tenant.ids["projects"], tenant.ids["keys"])
    assert (found["model"], found["replica"], found["attempts"]) == ("mock", "mock-0", 1)
    assert steps(found) == [
        "received",
        "policy",
        "policy",
        "limits",
        "route",
        "prefill",
        "decode",
        "end",
        "bill",
    ]
    assert [step["source"] for step in found["steps"] if step["name"] in {"prefill", "decode"}] == [
        "derived"
    ] * 2
    assert found["limits"][0]["remaining"] == 10**9 - 2
    assert found["completion_tokens"] == 3
    assert 0 < found["first_byte_s"] <= found["duration_s"]
