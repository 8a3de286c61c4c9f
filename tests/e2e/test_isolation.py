"""Two tenants on one real engine: neither finds out, by what it has cached, what the other has asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from e2e.live_gateway import CHAT
from security.worlds import World, world_at

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

# 156 tokens: a block of the engine's cache, which on a CPU is 128 tokens long, and a part of another.
SECRET = " ".join(f"The password of door {number} is {number * 7919 % 1000}." for number in range(13))


async def cached_tokens(world: World, path: str, key: str, **fields: Any) -> int:
    """Ask for one token; tell how many of the prompt the engine had read before."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.running.port}", timeout=120) as client:
        headers = {"authorization": f"Bearer {key}"}
        reply = await client.post(path, json={"model": "mock", "max_tokens": 1, **fields}, headers=headers)
    assert reply.status_code == 200, reply.text
    details = reply.json()["usage"]["prompt_tokens_details"] or {}
    return details.get("cached_tokens") or 0


@pytest.mark.parametrize(
    ("path", "prompt"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": SECRET}]}),
        ("/v1/completions", {"prompt": "Completed: " + SECRET}),
    ],
)
async def test_tenants_share_no_cached_tokens_on_a_real_engine(
    path: str, prompt: dict[str, Any], gateway: LiveGateway, tmp_path: Path
) -> None:
    socket = next(gateway.runtime_dir.glob(f"{CHAT}-*.sock"))
    async with world_at(tmp_path, f"unix:{socket}") as world:
        one, other = await world.tenant("one"), await world.tenant("other")
        assert await cached_tokens(world, path, one.plain, **prompt) == 0
        warm = await cached_tokens(world, path, one.plain, **prompt)
        assert warm >= 128
        assert await cached_tokens(world, path, one.keys["viewer"], **prompt) == warm

        assert await cached_tokens(world, path, other.plain, **prompt) == 0
        assert await cached_tokens(world, path, other.plain, **prompt) == warm

        # A part of its own that a client makes is its tenant's, whatever another one calls its own.
        assert await cached_tokens(world, path, one.plain, cache_salt="mine", **prompt) == 0
        assert await cached_tokens(world, path, one.plain, cache_salt="mine", **prompt) == warm
        assert await cached_tokens(world, path, other.plain, cache_salt="mine", **prompt) == 0
