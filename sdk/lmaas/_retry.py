"""Retries: a transport around a transport, and the only retry loop of the package.

A call is tried again while no reply has begun, its error says that it may help, tries are left, and the wait
ends before the call's deadline. The wait is the server's `Retry-After`, else exponential with full jitter.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final

from tenacity import AsyncRetrying, RetryCallState, Retrying

from lmaas._request import Request
from lmaas.errors import APIError

if TYPE_CHECKING:
    from lmaas._transport import AsyncReply, AsyncTransport, Reply, Transport

MAX_RETRY_AFTER_S: Final = 60.0
"""A server that asks for more than this is not waited for: the error is raised at once."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again and how long to wait before.

    Attributes:
        base_s: The longest first wait; it doubles with each try.
        cap_s: The longest wait of our own choosing.
        max_retry_after_s: The longest wait that a server may ask for.
        jitter: Returns a number from 0 to 1.
    """

    base_s: float = 0.5
    cap_s: float = 8.0
    max_retry_after_s: float = MAX_RETRY_AFTER_S
    jitter: Callable[[], float] = random.random

    def may_retry(self, state: RetryCallState) -> bool:
        """Tell whether the error of the last try is one to try again after."""
        error = _error_of(state)
        if error is None or not error.is_retryable:
            return False
        return (error.retry_after_s or 0.0) <= self.max_retry_after_s

    def wait_s(self, state: RetryCallState) -> float:
        """Return how long to wait before the next try."""
        error = _error_of(state)
        if error is not None and error.retry_after_s is not None:
            return error.retry_after_s
        longest_s = min(self.cap_s, self.base_s * 2.0 ** min(state.attempt_number - 1, 30))
        return longest_s * self.jitter()

    @staticmethod
    def must_stop(state: RetryCallState) -> bool:
        """Tell whether the tries are used up, or the wait would not end before the deadline."""
        request: Request = state.args[0]
        if state.attempt_number > request.max_retries:
            return True
        remaining_s = request.timer.remaining_s()
        return remaining_s is not None and state.upcoming_sleep >= remaining_s


class RetryTransport:
    """Sends calls through another transport, again where that helps."""

    def __init__(
        self,
        transport: Transport,
        policy: RetryPolicy | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._policy = policy or RetryPolicy()
        self._sleep = sleep

    def send(self, request: Request) -> Reply:
        """Send a call; see `Transport.send`. Raises the error of the last try."""
        tries = count()

        def send_once(request: Request) -> Reply:
            return self._transport.send(_marked(request, next(tries)))

        policy = self._policy
        retrying = Retrying(
            sleep=self._sleep,
            stop=policy.must_stop,
            wait=policy.wait_s,
            retry=policy.may_retry,
            reraise=True,
        )
        return retrying(send_once, request)


async def _sleep(seconds: float) -> None:
    import asyncio  # noqa: PLC0415 - 15 ms that a synchronous program need not spend

    await asyncio.sleep(seconds)


class AsyncRetryTransport:
    """The asynchronous twin of `RetryTransport`."""

    def __init__(
        self,
        transport: AsyncTransport,
        policy: RetryPolicy | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = _sleep,
    ) -> None:
        self._transport = transport
        self._policy = policy or RetryPolicy()
        self._sleep = sleep

    async def send(self, request: Request) -> AsyncReply:
        """Send a call; see `Transport.send`. Raises the error of the last try."""
        tries = count()

        async def send_once(request: Request) -> AsyncReply:
            return await self._transport.send(_marked(request, next(tries)))

        policy = self._policy
        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=policy.must_stop,
            wait=policy.wait_s,
            retry=policy.may_retry,
            reraise=True,
        )
        return await retrying(send_once, request)


def _marked(request: Request, tries: int) -> Request:
    return request.with_header("x-retry-count", str(tries)) if tries else request


def _error_of(state: RetryCallState) -> APIError | None:
    error = None if state.outcome is None else state.outcome.exception()
    return error if isinstance(error, APIError) else None
