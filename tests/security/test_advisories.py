"""What went wrong in our neighbours, tried on us. docs/security.md has the list, and names these tests."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.identity.keys import PREFIX
from security.worlds import OPERATOR_KEY, bearer, world_at
from support.serving import ASK, CHAT
from support.stub import ask, request_bytes

if TYPE_CHECKING:
    from security.worlds import World

ROOT = Path(__file__).parents[2]
INJECTIONS = (
    "' OR '1'='1",
    "'; DROP TABLE keys; --",
    f"{PREFIX}0000000000' UNION SELECT mac FROM keys --",
    "%27%20OR%201%3D1",
    "\\'; SELECT pg_sleep(9); --",
)


async def test_sql_in_a_key_is_a_wrong_key(tmp_path: Path) -> None:
    """CVE-2026-42208 (LiteLLM): the header was put into the statement, on the way to the error."""
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        for text in INJECTIONS:
            for header in (bearer(text), f"x-api-key: {text}", f"api-key: {text}"):
                reply = await world.running.post(CHAT, ASK, header)
                assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
                assert text not in reply.body.decode()
        assert (await world.running.post(CHAT, ASK, bearer(tenant.plain))).status == 200


async def test_sql_in_what_administrators_ask_for_finds_nothing(tmp_path: Path) -> None:
    """CVE-2026-42208 again: every part of a query and of a path is bound, or refused."""
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        await world.tenant("other")
        owner = tenant.keys["owner"]
        for text in ("'%20OR%20'1'='1", "x%27)%20OR%20(%271%27=%271", "%25", "_"):
            for path in ("/keys?after=", "/keys?project=", "/limits?subject=", "/audit?actor=", "/members/"):
                reply = await world.ask("GET", path + text, b"", owner)
                assert reply.status in {400, 404} or reply.json["data"] == [], (path, text, reply.body)


async def test_keys_that_begin_alike_are_different_keys(tmp_path: Path) -> None:
    """CVE-2026-35030 (LiteLLM): callers were remembered by the first twenty characters of a token."""
    async with world_at(tmp_path) as world:
        good = (await world.tenant("tenant")).plain
        assert (await world.running.post(CHAT, ASK, bearer(good))).status == 200
        for end in (6, 20, 40):
            forged = good[:-end] + "".join("a" if char != "a" else "b" for char in good[-end:])
            assert (await world.running.post(CHAT, ASK, bearer(forged))).status == 401


async def test_no_answer_shows_what_is_kept_of_a_key_and_that_is_no_key(tmp_path: Path) -> None:
    """GHSA-69x8-hrgq-fjj8 (LiteLLM): hashes were shown, and taken in the place of passwords."""
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        for path in ("/keys", f"/keys/{tenant.ids['keys']}", "/me", "/audit"):
            reply = await world.ask("GET", path, b"", tenant.keys["owner"])
            assert reply.status == 200
            assert tenant.plain.encode() not in reply.body
            assert not re.search(rb'"(pepper_version|hash|secret)"', reply.body)
            assert path == "/audit" or b'"mac"' not in reply.body


@pytest.mark.parametrize("text", ["{{7*7}}", "${7*7}", "#{7*7}", "{% raw %}7*7{% endraw %}", "%(x)s {0.a}"])
async def test_text_is_never_a_template(text: str, tmp_path: Path) -> None:
    """CVE-2026-42203 (LiteLLM): a prompt was rendered by a template engine without bounds."""
    async with world_at(tmp_path) as world:
        key = bearer((await world.tenant("tenant")).plain)
        unknown = await world.running.post(CHAT, {**ASK, "model": text}, key)
        assert (unknown.status, "49" in unknown.error["message"]) == (404, False)
        said = await world.running.post(CHAT, {**ASK, "messages": [{"role": "user", "content": text}]}, key)
        assert said.status == 200
        assert text in world.replica.calls[-1].request.body.decode()


async def test_nothing_that_a_call_names_is_connected_to(tmp_path: Path) -> None:
    """PYSEC-2026-4070 (LiteLLM): `api_base` was refused, and taken from inside of `user_config`."""
    asked: list[object] = []
    server = await asyncio.start_server(lambda *streams: asked.append(streams), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    inner = {"api_base": url, "base_url": url, "url": url}
    async with server, world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        for fields in (inner, {"user_config": inner}, {"metadata": inner}, {"extra_body": inner}):
            await world.running.post(CHAT, {**ASK, **fields}, bearer(tenant.plain))
        wanted = {"name": "x", "user_config": inner}
        assert (await world.ask("POST", "/projects", wanted, tenant.keys["owner"])).status == 400
    assert asked == []


UNGUARDED = (
    "/invocations",
    "/pooling",
    "/classify",
    "/score",
    "/tokenize",
    "/pause",
    "/resume",
    "/sleep",
    "/wake_up",
    "/update_weights",
    "/collective_rpc",
    "/reset_prefix_cache",
    "/server_info",
    "/start_profile",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/v1/chat/completions/render",
    "/inference/v1/generate",
    "/api/jobs/",
    "/config/update",
    "/prompts/test",
)


async def test_what_engines_serve_without_a_key_is_not_served_here(tmp_path: Path) -> None:
    """vLLM guards `/v1` alone, Ray (CVE-2023-48022) nothing; and LiteLLM CVE-2026-35029, CVE-2026-42271."""
    async with world_at(tmp_path) as world:
        key = bearer((await world.tenant("tenant")).keys["owner"])
        for path in UNGUARDED:
            for method in ("GET", "POST", "DELETE"):
                assert (await world.running.request(method, path, ASK, key)).status == 404, (method, path)
            for disguise in ("/v1/chat/completions/.." + path, "/v1/..%2f" + path[1:], "//" + path[1:]):
                assert (await world.running.request("POST", disguise, ASK, key)).status in {400, 404}
        assert world.replica.requests == 0


async def test_scopes_hold_in_every_header(tmp_path: Path) -> None:
    """CVE-2026-45339 (Open WebUI): `x-api-key` was let in past the scopes of its key."""
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        scopes: dict[str, object] = {"routes": ["/v1/embeddings"]}
        secret = await _key(world, tenant.organization, tenant.ids["projects"], scopes)
        for name in ("authorization: Bearer", "x-api-key:", "api-key:"):
            reply = await world.running.post(CHAT, ASK, f"{name} {secret}")
            assert reply.status == 403, name
        assert world.replica.requests == 0


async def _key(world: World, organization: str, project: str, scopes: dict[str, object]) -> str:
    wanted = {"project": project, "name": "scoped", "scopes": scopes}
    secret: str = (await world.make("/keys", wanted, organization))["secret"]
    return secret


async def test_key_in_a_query_is_no_key(tmp_path: Path) -> None:
    """It would stand in the log of every proxy on the way."""
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        for name in ("key", "api_key", "api-key", "access_token", "authorization"):
            assert (await world.running.post(f"{CHAT}?{name}={tenant.plain}", ASK)).status == 401
            assert (await world.running.get(f"/admin/v1/keys?{name}={OPERATOR_KEY}")).status in {400, 401}


async def test_ranges_are_not_served(tmp_path: Path) -> None:
    """CVE-2025-62727 (Starlette): a header of many ranges took quadratic time."""
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        ranges = "range: bytes=" + ",".join(f"{start}-" for start in range(8000))
        for path in ("/v1/models", "/openapi.json", "/admin/v1/usage/export?start=1700000000"):
            begun_s = time.process_time()
            reply = await world.running.get(path, bearer(tenant.keys["owner"]), ranges)
            assert (reply.status, time.process_time() - begun_s < 1) == (200, True), path


@pytest.mark.parametrize("host", ["x/livez?", "x/../livez", "127.0.0.1:1/livez", "livez", "x#"])
async def test_host_chooses_no_route(host: str, tmp_path: Path) -> None:
    """CVE-2026-48710 (Starlette, "BadHost"): the path was taken from an address built of the Host header."""
    async with world_at(tmp_path) as world:
        data = request_bytes("/admin/v1/keys", b"", method="GET").replace(b"host: ", b"x-was: ", 1)
        head, _, rest = data.partition(b"\r\n")
        reply = await ask(world.running.port, head + b"\r\nhost: " + host.encode() + b"\r\n" + rest)
        assert reply.status in {400, 401}


def test_nothing_that_came_over_a_network_is_unpickled_or_evaluated() -> None:
    """CVE-2025-68664 (LangChain), CVE-2025-64439 (LangGraph): objects were made of what callers sent."""
    dangerous = re.compile(
        r"^\s*(?:import|from) (?:pickle|marshal|shelve|dill|cloudpickle)\b"
        r"|\byaml\.(?:unsafe_)?load\(|(?<![\w.])(?:eval|exec)\(|\bos\.system\(",
        re.MULTILINE,
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("gateway/lmaas_gateway", "sdk/lmaas")
        for path in (ROOT / package).rglob("*.py")
        if dangerous.search(path.read_text(encoding="utf-8"))
    }
    # Between our own processes, through a pair of sockets that nobody else has.
    assert found <= {"gateway/lmaas_gateway/link.py"}
