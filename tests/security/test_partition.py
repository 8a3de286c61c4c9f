"""What is kept of calls is kept by tenant: the same call of another one finds nothing of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from lmaas_gateway.testing import Script
from security.worlds import World, bearer, world_at
from support.serving import ASK, CHAT

if TYPE_CHECKING:
    from pathlib import Path

    from support.stub import Response

COLD: dict[str, Any] = {**ASK, "temperature": 0}
CACHED: dict[str, Any] = {"cache": {"enabled": True}}


async def ask(world: World, secret: str, *headers: str, fields: dict[str, Any] = ASK) -> Response:
    return await world.running.post(CHAT, fields, bearer(secret), *headers)


async def test_idempotency_key_of_another_tenant_is_another_key(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        one, other = await world.tenant("one"), await world.tenant("other")
        key = "idempotency-key: the-same-for-both"
        first = await ask(world, one.plain, key)
        assert (first.status, (await ask(world, other.plain, key)).status) == (200, 200)
        assert world.replica.requests == 2
        again = await ask(world, one.keys["viewer"], key)
        assert again.headers["idempotent-replayed"] == "true"
        different = {**ASK, "max_tokens": 3}
        assert (await ask(world, one.plain, key, fields=different)).status == 422
        assert world.replica.requests == 2


async def test_reply_of_another_tenant_is_no_hit(tmp_path: Path) -> None:
    async with world_at(tmp_path, **CACHED) as world:
        one, other = await world.tenant("one"), await world.tenant("other")
        told = [
            (await ask(world, secret, fields=COLD)).headers["x-lmaas-cache"]
            for secret in (one.plain, one.keys["owner"], other.plain, other.plain)
        ]
        assert told == ["miss", "hit", "miss", "hit"]
        assert world.replica.requests == 2


async def test_nobody_waits_for_the_reply_of_another_tenant(tmp_path: Path) -> None:
    async with world_at(tmp_path, **CACHED) as world:
        one, other = await world.tenant("one"), await world.tenant("other")
        world.replica.script = Script(headers_delay_s=0.3)
        secrets = [one.plain, one.plain, other.plain, other.plain]
        replies = await asyncio.gather(*(ask(world, secret, fields=COLD) for secret in secrets))
        assert sorted(reply.headers["x-lmaas-cache"] for reply in replies) == ["coalesced"] * 2 + ["miss"] * 2
        assert world.replica.requests == 2


async def test_engine_is_told_a_salt_of_each_project_and_no_key(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        one, other = await world.tenant("one"), await world.tenant("other")
        for secret in (one.plain, one.keys["owner"], other.plain):
            assert (await ask(world, secret)).status == 200
        salts = [json.loads(call.request.body)["cache_salt"] for call in world.replica.calls]
        assert salts[0] == salts[1] != salts[2]
        for call in world.replica.calls:
            seen = repr(call.request.headers).encode() + call.request.body
            assert one.plain.encode() not in seen
            assert other.plain.encode() not in seen


async def test_session_of_another_tenant_is_another_session(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        one, other = await world.tenant("one"), await world.tenant("other")
        seen: list[bytes] = []
        router = world.running.gateway._current.snapshot.application._endpoints[CHAT]._pipeline._router  # type: ignore[attr-defined]  # whatever stands between
        forward = router.forward

        def noting(call: Any, *rest: Any) -> Any:
            seen.append(call.session)
            return forward(call, *rest)

        router.forward = noting
        for secret in (one.plain, one.keys["owner"], other.plain):
            await ask(world, secret, "x-session-id: 7")
        assert seen[0] == seen[1] != seen[2]


async def test_feedback_on_a_call_of_another_tenant_finds_no_call(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        one, other = await world.tenant("one"), await world.tenant("other")
        assert (await ask(world, one.plain, "x-request-id: req_of_one")).status == 200
        told = await asyncio.gather(
            *(
                world.running.post(
                    "/v1/feedback", {"request_id": request_id, "thumbs": "down"}, bearer(other.plain)
                )
                for request_id in ("req_of_one", "req_of_none")
            )
        )
        assert [reply.status for reply in told] == [404, 404]
        assert told[0].body.replace(b"req_of_one", b"") == told[1].body.replace(b"req_of_none", b"")
        said = {"request_id": "req_of_one", "thumbs": "up"}
        assert (await world.running.post("/v1/feedback", said, bearer(one.plain))).status == 200


async def test_tenant_with_many_keys_has_one_place_in_the_queue(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        one, other = await world.tenant("one"), await world.tenant("other")
        for secret in (one.plain, *one.keys.values(), other.plain):
            assert (await ask(world, secret)).status == 200
        (gate,) = world.running.gateway.admission._gates.values()
        assert set(gate._holders) == {one.ids["projects"], other.ids["projects"]}
