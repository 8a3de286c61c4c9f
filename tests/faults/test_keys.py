"""Keys that end under their calls: F31."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from faults.clients import asking
from faults.gateways import OPERATOR, administer, new_project
from faults.world import replicas_here, world_of

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = 60
WITHIN_S = 5.0
"""How soon a revocation is in force everywhere (docs/tenancy.md)."""


@pytest.mark.fault("F31")
async def test_stream_of_a_revoked_key_is_cut_with_the_reason_and_no_other_is(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "open": False,
        "admin_key": OPERATOR,
        "data_dir": str(tmp_path / "data"),
        "storage": {"connections": 1},
    }
    ask = asking(stream=True, tokens=TOKENS, token_gap_s=0.05)
    async with (
        replicas_here(1) as replicas,
        world_of(*replicas, process_in=tmp_path, **settings) as world,
    ):
        port = world.gateway.port
        project = await new_project(port)
        revoked, spared = [
            await administer(port, "POST", "/keys", {"project": project, "name": name})
            for name in ("revoked", "spared")
        ]
        await world.settle()
        async with (
            world.history.open(ask, key=revoked["secret"]) as cut,
            world.history.open(ask, key=spared["secret"]) as whole,
        ):
            await asyncio.gather(cut.until_events(2), whole.until_events(2))
            begun_s = time.monotonic()
            await administer(port, "DELETE", f"/keys/{revoked['id']}")
            told = await cut.finish()
            assert time.monotonic() - begun_s < WITHIN_S
            assert (told.outcome, told.code) == ("interrupted", "key_revoked")
            assert told.error["retryable"] is False
            assert 0 < told.tokens < TOKENS
            assert (await whole.finish()).outcome == "ok"
        refused = await world.history.call(asking(), key=revoked["secret"])
        assert (refused.status, refused.code) == (401, "key_revoked")
        await world.until(lambda: world.gateway.access_log()[-1]["request_id"] == refused.request_id)
        assert world.line_of(told)["code"] == "key_revoked"
