"""Calls over several replicas that may fail."""

from __future__ import annotations

from typing import Any

from lmaas_gateway.settings import Settings
from lmaas_gateway.testing import FakeReplica
from support.serving import CHAT, Running
from support.stub import Response

SLOW_PROBES = {"probe_interval_s": 1000}
EVENT = 'data: {"id":"x","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
DONE = "data: [DONE]\n\n"


def by_load(*replicas: FakeReplica, **fields: Any) -> Settings:
    """Settings of a pool that does not prefer the replica that it took before."""
    urls = [{"url": replica.url} for replica in replicas]
    model = {"name": "mock", "kind": "chat", "routing": "least_tokens", "replicas": urls}
    return Settings.model_validate({"models": [model], **fields})


def keys_of(count: int) -> list[dict[str, str]]:
    return [{"name": f"caller-{index}", "key": f"the-key-of-caller-{index}"} for index in range(count)]


async def ask_as(running: Running, index: int, fields: dict[str, Any]) -> Response:
    return await running.post(CHAT, fields, f"authorization: Bearer the-key-of-caller-{index}")
