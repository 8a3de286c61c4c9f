"""Retries: a transport around a transport, and the only retry loop of the package.

A call is tried again while no reply has begun, its error says that it may help, tries are left, the wait ends
before the call's deadline, and the calls of the client together have not retried too much. The wait is the
server's `Retry-After`, else exponential with full jitter. tenacity, which runs the loop, is imported with the
first failure: most programs never need its 25 ms.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict

from lmaas._budget import RetryBudget
from lmaas._request import Request
from lmaas.errors import APIError, CircuitOpenError

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from lmaas._reply import AsyncReply, AsyncTransport, Reply, Transport

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
        return error is not None and self.may_help(error)

    def may_help(self, error: APIError) -> bool:
        """Tell whether another try may end better than with `error`, and soon enough."""
        if not error.is_retryable or isinstance(error, CircuitOpenError):
            return False
        return (error.retry_after_s or 0.0) <= self.max_retry_after_s

    def wait_s(self, state: RetryCallState) -> float:
        """Return how long to wait before the next try."""
        return self.delay_s(_error_of(state), state.attempt_number)

    def delay_s(self, error: APIError | None, tries: int) -> float:
        """Return how long to wait after `error`, the end of so many tries."""
        if error is not None and error.retry_after_s is not None:
            return error.retry_after_s
        longest_s = min(self.cap_s, self.base_s * 2.0 ** min(tries - 1, 30))
        return longest_s * self.jitter()

    @staticmethod
    def must_stop(state: RetryCallState) -> bool:
        """Tell whether the tries are used up, or the wait would not end before the deadline."""
        request: Request = state.args[0].request
        if state.attempt_number > request.max_retries:
            return True
        remaining_s = request.timer.remaining_s()
        return remaining_s is not None and state.upcoming_sleep >= remaining_s


class RetryTransport:
    """Sends calls through another transport, again where that helps.

    Args:
        transport: What a single try goes through.
        policy: When to try again.
        budget: Shared by all calls of a client; without room in it there is no other try.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        transport: Transport,
        policy: RetryPolicy | None = None,
        budget: RetryBudget | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._policy = policy or RetryPolicy()
        self._budget = budget or RetryBudget()
        self._sleep = sleep

    def send(self, request: Request) -> Reply:
        """Send a call; see `Transport.send`. Raises the error of the last try."""
        self._budget.count_call()
        try:
            return self._transport.send(request)
        except APIError as error:
            if not self._policy.may_help(error):
                raise
            tries = _Tries(request, error)
        from tenacity import Retrying  # noqa: PLC0415 - see the module's docstring

        retrying = Retrying(sleep=self._sleep, **tries.rules(self._policy, self._budget))
        with tries.counted():
            reply = retrying(self._send_next, tries)
        reply.tries = tries.count
        return reply

    def _send_next(self, tries: _Tries) -> Reply:
        return self._transport.send(tries.next_request())


async def sleep_async(seconds: float) -> None:
    """Wait for so many seconds."""
    import asyncio  # noqa: PLC0415 - 15 ms that a synchronous program need not spend

    await asyncio.sleep(seconds)


class AsyncRetryTransport:
    """The asynchronous twin of `RetryTransport`."""

    def __init__(
        self,
        transport: AsyncTransport,
        policy: RetryPolicy | None = None,
        budget: RetryBudget | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = sleep_async,
    ) -> None:
        self._transport = transport
        self._policy = policy or RetryPolicy()
        self._budget = budget or RetryBudget()
        self._sleep = sleep

    async def send(self, request: Request) -> AsyncReply:
        """Send a call; see `Transport.send`. Raises the error of the last try."""
        self._budget.count_call()
        try:
            return await self._transport.send(request)
        except APIError as error:
            if not self._policy.may_help(error):
                raise
            tries = _Tries(request, error)
        from tenacity import AsyncRetrying  # noqa: PLC0415 - see the module's docstring

        retrying = AsyncRetrying(sleep=self._sleep, **tries.rules(self._policy, self._budget))
        with tries.counted():
            reply: AsyncReply = await retrying(self._send_next, tries)
        reply.tries = tries.count
        return reply

    async def _send_next(self, tries: _Tries) -> AsyncReply:
        return await self._transport.send(tries.next_request())


class _Rules(TypedDict):
    """What both kinds of tenacity's loop are told."""

    stop: Callable[[RetryCallState], bool]
    wait: Callable[[RetryCallState], float]
    retry: Callable[[RetryCallState], bool]
    reraise: bool


class _Tries:
    """The tries of one call, whose first has failed; calls that go well never come here."""

    def __init__(self, request: Request, first: APIError) -> None:
        self.request = request
        self.count = 0
        self._first: APIError | None = first

    def next_request(self) -> Request:
        """Return the request of the next try. The first time, raise how the first try ended."""
        self.count += 1
        if (first := self._first) is not None:
            self._first = None
            raise first
        return self.request.with_header("x-retry-count", str(self.count - 1))

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Write on the error that ends the call how often it was tried."""
        try:
            yield
        except APIError as error:
            error.tries = self.count
            raise

    def rules(self, policy: RetryPolicy, budget: RetryBudget) -> _Rules:
        """Return when to go on, by `policy` first and then by what is left of `budget`."""

        def must_stop(state: RetryCallState) -> bool:
            return policy.must_stop(state) or not budget.take()

        return _Rules(stop=must_stop, wait=policy.wait_s, retry=policy.may_retry, reraise=True)


def _error_of(state: RetryCallState) -> APIError | None:
    error = None if state.outcome is None else state.outcome.exception()
    return error if isinstance(error, APIError) else None
