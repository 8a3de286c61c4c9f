"""The only retry loop of a client of several platforms: another platform first, the same one again last.

In place of `RetryTransport`, with the same policy, budget and deadline. `Journey` decides, the loops here
send and wait.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from lmaas._budget import RetryBudget
from lmaas._reply import AsyncTransport, Transport
from lmaas._request import Request
from lmaas._retry import RetryPolicy, sleep_async
from lmaas.errors import APIError
from lmaas.routing._journey import Journey
from lmaas.routing._reply import AsyncRoutedReply, RoutedReply
from lmaas.routing._router import Router

LaneT = TypeVar("LaneT")
SleepT = TypeVar("SleepT")


class _Failover(Generic[LaneT, SleepT]):
    """What both kinds have.

    Args:
        base_url: What requests are built for.
        router: The platforms.
        lanes: The way to each, by its name.
        budget: Of retries, shared by all calls of the client.
        sleep: Waits for so many seconds.
        policy: When the same platform may be asked again.
    """

    def __init__(
        self,
        base_url: str,
        router: Router,
        lanes: Mapping[str, LaneT],
        budget: RetryBudget,
        sleep: SleepT,
        policy: RetryPolicy | None,
    ) -> None:
        self._base_url = base_url
        self._router = router
        self._lanes = lanes
        self._budget = budget
        self._sleep = sleep
        self._policy = policy or RetryPolicy()

    def _begun(self, request: Request) -> Journey:
        self._budget.count_call()
        return Journey(request, self._base_url, self._router, self._budget, self._policy)

    def _tell(self, journey: Journey) -> None:
        if self._router.strategy.on_route is not None:
            self._router.strategy.on_route(journey.route)


class FailoverTransport(_Failover[Transport, Callable[[float], None]]):
    """Sends calls to one of several platforms, and on to the next while no reply has begun."""

    def __init__(
        self,
        base_url: str,
        router: Router,
        lanes: Mapping[str, Transport],
        budget: RetryBudget,
        *,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(base_url, router, lanes, budget, sleep, policy)

    def send(self, request: Request) -> RoutedReply:
        """Send a call; see `Transport.send`. Raises `NoPlatformError` too."""
        return self._go(self._begun(request))

    def resume(self, journey: Journey, error: APIError) -> RoutedReply:
        """Send a call again whose stream broke off with `error`.

        Raises:
            APIError: `error`, if it may not be sent again; else as `send`.
        """
        journey.begin_anew(error)
        return self._go(journey)

    def _go(self, journey: Journey) -> RoutedReply:
        try:
            routed = self._first_reply(journey)
        except APIError:
            self._tell(journey)
            raise
        try:
            self._tell(journey)
        except BaseException:  # the program's own function failed: nobody will read the reply
            routed.close()
            raise
        return routed

    def _first_reply(self, journey: Journey) -> RoutedReply:
        while True:
            member = journey.next()
            if journey.wait_s > 0:
                self._sleep(journey.wait_s)
            request = journey.begins()
            try:
                reply = self._lanes[member.endpoint.name].send(request)
            except APIError as error:
                journey.failed(error)
                continue
            routed = reply if isinstance(reply, RoutedReply) else RoutedReply(request, reply, [])
            routed.journey = journey
            journey.succeeded(routed)
            return routed


class AsyncFailoverTransport(_Failover[AsyncTransport, Callable[[float], Awaitable[None]]]):
    """The asynchronous twin of `FailoverTransport`."""

    def __init__(
        self,
        base_url: str,
        router: Router,
        lanes: Mapping[str, AsyncTransport],
        budget: RetryBudget,
        *,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = sleep_async,
    ) -> None:
        super().__init__(base_url, router, lanes, budget, sleep, policy)

    async def send(self, request: Request) -> AsyncRoutedReply:
        """Send a call; see `FailoverTransport.send`."""
        return await self._go(self._begun(request))

    async def resume(self, journey: Journey, error: APIError) -> AsyncRoutedReply:
        """Send a call again whose stream broke off; see `FailoverTransport.resume`."""
        journey.begin_anew(error)
        return await self._go(journey)

    async def _go(self, journey: Journey) -> AsyncRoutedReply:
        try:
            routed = await self._first_reply(journey)
        except APIError:
            self._tell(journey)
            raise
        try:
            self._tell(journey)
        except BaseException:  # as above
            await routed.close()
            raise
        return routed

    async def _first_reply(self, journey: Journey) -> AsyncRoutedReply:
        while True:
            member = journey.next()
            if journey.wait_s > 0:
                await self._sleep(journey.wait_s)
            request = journey.begins()
            try:
                reply = await self._lanes[member.endpoint.name].send(request)
            except APIError as error:
                journey.failed(error)
                continue
            routed = reply if isinstance(reply, AsyncRoutedReply) else AsyncRoutedReply(request, reply, [])
            routed.journey = journey
            journey.succeeded(routed)
            return routed
