"""Valkey, or Redis: news that all hosts must have at once. Limits are counted there by a client of their own.

A store that answers late is worse than one that is gone: both are noticed within the deadline, and then it is
left alone for a while, so that no call waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from lmaas_gateway.errors import StoreUnavailableError
from lmaas_gateway.storage.circuit import Circuit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from redis.asyncio.client import PubSub

    from lmaas_gateway.settings import StorageSettings

T = TypeVar("T")

_LOG = logging.getLogger("lmaas.gateway")
_CONNECTIONS = 32
# A subscription that hears nothing asks whether anybody is there, and waits this long for the answer.
_LISTEN_S = 1.0
_SILENCE_S = 3.0
_MIN_PAUSE_S = 0.1
_MAX_PAUSE_S = 2.0
_UNAVAILABLE = "Valkey does not answer; retry."


class Valkey:
    """One Valkey or Redis.

    Args:
        url: Its address.
        rules: When the breaker opens.
        deadline_s: How long whoever asks waits at most.
        observe: Told of each command: `ok` or `failed`, and how many seconds it took.
        clock: Monotonic seconds, of the breaker.
    """

    def __init__(
        self,
        url: str,
        rules: StorageSettings,
        *,
        deadline_s: float,
        observe: Callable[[str, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline_s = deadline_s
        self.observe = observe or _ignore
        self.circuit = Circuit(
            "Valkey", failures=rules.breaker_failures, open_s=rules.breaker_open_s, clock=clock
        )
        self._client = self._open(url, self._deadline_s, _CONNECTIONS)
        # A subscription waits for as long as it takes, on a connection that nobody else has.
        self._listener = self._open(url, None, 4)

    async def execute(self, *command: str | bytes | float) -> Any:
        """Execute one command; give its answer as the driver reads it, text as bytes.

        Raises:
            StoreUnavailableError: it failed, or did not answer in time: nobody knows whether it was done.
        """
        return await self._bounded(lambda: self._send(*command))

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell all who listen to a channel.

        Raises:
            StoreUnavailableError: as `execute`.
        """
        await self.execute("PUBLISH", channel, message)

    async def listen(self, channel: str) -> AsyncGenerator[bytes | None, None]:
        """Give what is told on a channel, for ever, whatever becomes of the connection.

        Yields:
            Each message; and None whenever the channel is listened to anew: what was told meanwhile, if
            anything was, is lost, and must be found out elsewhere.
        """
        pause_s = _MIN_PAUSE_S
        while True:
            pubsub = self._listener.pubsub()
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await pubsub.subscribe(channel)
                yield None
                pause_s = _MIN_PAUSE_S
                async for message in _messages(pubsub):
                    yield message
            except (RedisError, OSError, TimeoutError) as error:
                _LOG.debug("the news of Valkey are interrupted: %s", type(error).__name__)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis leaves it without types
            # Not all at once, when it comes back.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # nothing secret
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def close(self) -> None:
        """Close all connections."""
        for client in (self._client, self._listener):
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await client.aclose()

    async def _send(self, *command: str | bytes | float) -> Any:
        return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # likewise

    async def _bounded(self, work: Callable[[], Awaitable[T]]) -> T:
        self.circuit.admit()
        started_s = time.perf_counter()
        try:
            # The driver closes a connection whose answer nobody waits for: no other command gets it.
            async with asyncio.timeout(self._deadline_s):
                answer = await work()
        except (RedisError, OSError, TimeoutError) as error:
            self.observe("failed", time.perf_counter() - started_s)
            if self.circuit.note_failure():
                _LOG.warning("Valkey fails and is left alone for a while: %s", type(error).__name__)
            raise StoreUnavailableError(_UNAVAILABLE) from error
        except BaseException:
            self.circuit.release()
            raise
        self.observe("ok", time.perf_counter() - started_s)
        if self.circuit.state != "closed":
            _LOG.warning("Valkey answers again")
        self.circuit.note_success()
        return answer

    @staticmethod
    def _open(url: str, timeout_s: float | None, connections: int) -> Redis:
        pool = BlockingConnectionPool.from_url(
            # The driver knows one of the two names.
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            max_connections=connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s or _SILENCE_S,
            socket_keepalive=True,
            # Trying again is for those who know whether it may be done twice.
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
        )
        return Redis.from_pool(pool)


async def _messages(pubsub: PubSub) -> AsyncIterator[bytes]:
    """Give messages until the connection ends, or nothing at all is heard for too long."""
    heard_s = time.monotonic()
    while True:
        told = await pubsub.get_message(timeout=_LISTEN_S)
        if told is not None:
            heard_s = time.monotonic()
            if told["type"] == "message":
                yield told["data"]
        elif time.monotonic() - heard_s > _SILENCE_S:
            raise TimeoutError
        else:
            await pubsub.ping()


def _ignore(*_: object) -> None:
    """Take no notice."""
