"""Clients of replicas for tests, and whole calls by them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.settings import ReplicaSettings, TimeoutSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lmaas_gateway.replicas.client import Exchange

PATH = "/v1/chat/completions"
ASK = b'{"model":"mock","messages":[{"role":"user","content":"one two three"}]}'
STREAM = ASK[:-1] + b',"stream":true}'


@contextlib.asynccontextmanager
async def client_of(
    url: str,
    *,
    timeouts: TimeoutSettings | None = None,
    ca_file: Path | None = None,
    max_connections: int = 4096,
) -> AsyncIterator[ReplicaClient]:
    address = Address.parse(ReplicaSettings(url=url, ca_file=ca_file))
    client = ReplicaClient(
        address, timeouts=timeouts or TimeoutSettings(), api_key="secret", max_connections=max_connections
    )
    try:
        async with asyncio.timeout(10):
            yield client
    finally:
        assert not client._busy, "an exchange was not closed"
        client.close()


async def read_all(exchange: Exchange) -> bytes:
    body = b""
    while data := await exchange.read():
        body += data
    return body


async def call(client: ReplicaClient, body: bytes = ASK) -> tuple[int, bytes]:
    exchange = await client.post(PATH, body)
    try:
        return exchange.status, await read_all(exchange)
    finally:
        exchange.close()
