"""Clients of a fake replica, raw and httpx's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from lmaas_gateway.testing import FakeReplica

CHAT = "/v1/chat/completions"
ASK: Mapping[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "one two three"}]}
STREAM: Mapping[str, Any] = {**ASK, "stream": True, "max_tokens": 3}


@dataclass(frozen=True)
class Received:
    """What a raw client got until the server closed."""

    head: bytes
    body: bytes
    was_reset: bool = False


def request(path: str, fields: Mapping[str, Any], *headers: str) -> bytes:
    body = json.dumps(fields).encode()
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def opened(replica: FakeReplica) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(replica.url.rpartition(":")[2]))


async def receive(replica: FakeReplica, fields: Mapping[str, Any], *headers: str) -> Received:
    reader, writer = await opened(replica)
    writer.write(request(CHAT, fields, *(headers or ("connection: close",))))
    data, was_reset = b"", False
    try:
        async with asyncio.timeout(5):
            while piece := await reader.read(65536):
                data += piece
    except ConnectionResetError:
        was_reset = True
    writer.close()
    top, _, body = data.partition(b"\r\n\r\n")
    return Received(top, body, was_reset)


@asynccontextmanager
async def client_of(replica: FakeReplica) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=replica.url, trust_env=False, timeout=5) as client:
        yield client
