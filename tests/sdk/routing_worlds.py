"""Fake platforms for clients of several, and the same asked of both kinds of client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from lmaas import AsyncLMaaS, DefaultAioHttpClient, LMaaS
from lmaas.routing import Endpoint
from lmaas_gateway.testing import FakeReplica, Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


T = TypeVar("T")
ASK: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}
WHOLE = Script(tokens=3, text="Hello there you")


def endpoints(*urls: str, **fields: Any) -> list[Endpoint]:
    return [Endpoint(name=name, base_url=url, **fields) for name, url in zip("abc", urls, strict=False)]


@asynccontextmanager
async def replicas(*scripts: Script) -> AsyncIterator[list[FakeReplica]]:
    running = [FakeReplica(script=script) for script in scripts]
    for one in running:
        await one.__aenter__()
    try:
        yield running
    finally:
        for one in running:
            await one.__aexit__(None, None, None)


async def twice(
    urls: list[str],
    sync: Callable[[LMaaS], T],
    twin: Callable[[AsyncLMaaS], Any],
    **options: Any,
) -> list[T]:
    """Run the same with both kinds of client, and with both kinds of asynchronous network."""

    def run() -> T:
        with LMaaS(platforms=endpoints(*urls), **options) as client:
            return sync(client)

    found = [await asyncio.to_thread(run)]
    for http_client in (None, DefaultAioHttpClient()):
        async with AsyncLMaaS(platforms=endpoints(*urls), http_client=http_client, **options) as client:
            found.append(await twin(client))
    return found
