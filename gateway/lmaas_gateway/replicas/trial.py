"""The call that an ejected replica must answer before it takes others again: one token, or one vector.

A health check is not enough: a server that drains, or whose scheduler hangs, still answers it with 200 while
its calls fail. Only a call goes all the way through the engine.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lmaas_gateway.replicas.faults import ReplicaError

if TYPE_CHECKING:
    from lmaas_gateway.replicas.pool import Replica
    from lmaas_gateway.settings import ModelKind

Verdict = Literal["passed", "failed", "busy"]

_LONGEST_S = 30.0
_MESSAGES = [{"role": "user", "content": "."}]
_CALLS: dict[ModelKind, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": _MESSAGES, "max_tokens": 1}),
    "completion": ("/v1/completions", {"prompt": ".", "max_tokens": 1}),
    "embedding": ("/v1/embeddings", {"input": "."}),
    "rerank": ("/v1/score", {"text_1": ".", "text_2": "."}),
    "classify": ("/classify", {"input": "."}),
}


async def try_out(replica: Replica, kind: ModelKind) -> Verdict:
    """Make the smallest call of its kind to a replica. `busy`: it works, but has too much to do."""
    path, fields = _CALLS[kind]
    body = msgspec.json.encode({"model": replica.served_model_name, **fields})
    try:
        async with asyncio.timeout(min(replica.client.timeouts.first_byte_s, _LONGEST_S)):
            status = await _ask(replica, path, body)
    except (TimeoutError, ReplicaError):
        return "failed"
    if status in {429, 503}:
        return "busy"
    return "passed" if status == 200 else "failed"


async def _ask(replica: Replica, path: str, body: bytes) -> int:
    exchange = await replica.client.post(path, body)
    try:
        while await exchange.read():
            pass
        return exchange.status
    finally:
        exchange.close()
