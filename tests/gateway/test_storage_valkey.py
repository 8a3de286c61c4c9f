"""A real Valkey: down, slow, flushed, restarted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.errors import StoreUnavailableError
from lmaas_gateway.settings import StorageSettings
from lmaas_gateway.storage.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.store_servers import ValkeyServer


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@contextlib.asynccontextmanager
async def _opened(url: str, *, deadline_s: float = 5.0, **options: Any) -> AsyncIterator[Valkey]:
    client = Valkey(url, StorageSettings(), deadline_s=deadline_s, **options)
    try:
        yield client
    finally:
        await client.close()


async def _failed(client: Valkey, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(StoreUnavailableError):
            await client.execute("PING")


def _is_refused_without_waiting(client: Valkey) -> None:
    """Ask in vain, by hand: what fails in its first step has waited for nothing, and so asked nobody."""
    with contextlib.closing(client.execute("PING")) as asking, pytest.raises(StoreUnavailableError):
        asking.send(None)


async def test_commands_answer_and_are_told_of(valkey_url: str) -> None:
    told: list[str] = []
    async with _opened(valkey_url, observe=lambda outcome, _: told.append(outcome)) as client:
        assert await client.execute("PING")
        assert [await client.execute("INCRBY", "n", 5) for _ in range(3)] == [5, 10, 15]
        assert await client.execute("GET", "n") == b"15"
    assert told == ["ok"] * 5


async def test_both_names_of_the_protocol_are_known(valkey_url: str) -> None:
    async with _opened(valkey_url.replace("redis://", "valkey://")) as client:
        assert await client.execute("PING")


async def test_many_at_once_count_exactly(valkey_url: str) -> None:
    async with _opened(valkey_url, deadline_s=30) as client:
        await asyncio.gather(*(client.execute("INCR", "n") for _ in range(500)))
        assert await client.execute("GET", "n") == b"500"


async def test_what_is_gone_fails_at_once_and_then_is_left_alone_until_one_tries(
    new_valkey: Callable[[], ValkeyServer],
) -> None:
    server, clock = new_valkey(), _Clock()
    async with _opened(server.url, clock=clock) as client:
        await _failed(client, 5)
        with pytest.raises(StoreUnavailableError, match="left alone") as caught:
            await client.execute("PING")
        assert caught.value.retry_after_s == 5
        server.start()
        await _failed(client)
        clock.now_s += 5.0
        assert await client.execute("PING")
        assert client.circuit.state == "closed"


async def test_what_hangs_is_waited_for_no_longer_than_the_deadline_and_then_not_at_all(
    new_valkey: Callable[[], ValkeyServer],
) -> None:
    server, clock = new_valkey(), _Clock()
    server.start()
    async with _opened(server.url, deadline_s=0.2, clock=clock) as client:
        await client.execute("SET", "n", 1)
        server.pause()
        for _ in range(5):
            began_s = time.monotonic()
            await _failed(client)
            assert time.monotonic() - began_s < 3
        for _ in range(1000):
            _is_refused_without_waiting(client)
        server.resume()
        clock.now_s += 5.0
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(StoreUnavailableError):
                    # The answers that came too late belong to nobody: this is the answer to this command.
                    assert await client.execute("GET", "n") == b"1"
                    break
                clock.now_s += 5.0


async def test_a_restarted_server_is_found_again_and_begins_empty(
    new_valkey: Callable[[], ValkeyServer],
) -> None:
    server = new_valkey()
    server.start()
    async with _opened(server.url) as client:
        assert await client.execute("INCRBY", "n", 7) == 7
        server.kill()
        await _failed(client)
        server.start()
        assert await client.execute("INCR", "n") == 1


async def test_a_caller_who_leaves_is_no_failure_and_leaves_no_answer_behind(valkey_url: str) -> None:
    async with _opened(valkey_url) as client:
        await client.execute("SET", "n", 1)
        for _ in range(20):
            asking = asyncio.create_task(client.execute("PING"))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert await client.execute("GET", "n") == b"1"
        assert client.circuit.state == "closed"


async def _next(news: AsyncIterator[bytes | None]) -> bytes | None:
    async with asyncio.timeout(10):
        return await anext(news)


async def test_news_reach_who_listens_and_a_break_is_told(new_valkey: Callable[[], ValkeyServer]) -> None:
    server = new_valkey()
    server.start()
    async with _opened(server.url) as client, contextlib.aclosing(client.listen("keys")) as news:
        assert await _next(news) is None, "from here on nothing is missed"
        await client.publish("keys", b"one")
        await client.publish("other", b"not for us")
        await client.publish("keys", b"two")
        assert [await _next(news) for _ in range(2)] == [b"one", b"two"]
        server.kill()
        server.start()
        assert await _next(news) is None, "something may have been missed"
        with contextlib.suppress(StoreUnavailableError):
            await client.execute("PING")
        await client.publish("keys", b"three")
        assert await _next(news) == b"three"


async def test_who_listens_waits_for_a_server_that_is_not_there_yet(
    new_valkey: Callable[[], ValkeyServer],
) -> None:
    server = new_valkey()
    async with _opened(server.url) as client, contextlib.aclosing(client.listen("keys")) as news:
        first = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0.3)
        assert not first.done()
        server.start()
        async with asyncio.timeout(10):
            assert await first is None


async def test_who_listens_to_a_server_that_hangs_notices_it(new_valkey: Callable[[], ValkeyServer]) -> None:
    server = new_valkey()
    server.start()
    async with _opened(server.url) as client, contextlib.aclosing(client.listen("keys")) as news:
        assert await _next(news) is None
        server.pause()
        again = asyncio.ensure_future(anext(news))
        # Longer than the silence that it bears: what it finds then is a connection of its own.
        await asyncio.sleep(3.6)
        server.resume()
        async with asyncio.timeout(10):
            assert await again is None
