"""The only retry loop of a client of several platforms: another platform first, the same one again last.

In place of `RetryTransport`, with the same policy, budget and deadline.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from lmaas._budget import RetryBudget
from lmaas._reply import AsyncTransport, Transport
from lmaas._request import Request
from lmaas._retry import RetryPolicy, sleep_async
from lmaas.errors import APIError
from lmaas.routing._journey import Journey
from lmaas.routing._reply import AsyncRoutedReply, RoutedReply
from lmaas.routing._router import Router


class FailoverTransport:
    """Sends calls to one of several platforms, and on to the next while no reply has begun.

    Args:
        base_url: What requests are built for.
        router: The platforms.
        lanes: The way to each, by its name.
        budget: Of retries, shared by all calls of the client.
        policy: When the same platform may be asked again.
        sleep: Waits for so many seconds.
    """

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
        self._base_url = base_url
        self._router = router
        self._lanes = lanes
        self._budget = budget
        self._policy = policy or RetryPolicy()
        self._sleep = sleep

    def send(self, request: Request) -> RoutedReply:
        """Send a call; see `Transport.send`. Raises `NoPlatformError` too."""
        self._budget.count_call()
        return self._go(Journey(request, self._base_url, self._router, self._budget, self._policy))

    def resume(self, journey: Journey, error: APIError) -> RoutedReply:
        """Send a call again whose stream broke off with `error`.

        Raises:
            APIError: `error`, if it may not be sent again; else as `send`.
        """
        journey.begin_anew(error)
        return self._go(journey)

    def _go(self, journey: Journey) -> RoutedReply:
        try:
            return self._first_reply(journey)
        except APIError:
            _tell(self._router, journey)
            raise

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
            try:
                _tell(self._router, journey)
            except BaseException:  # the program's own function failed: nobody will read the reply
                routed.close()
                raise
            return routed


class AsyncFailoverTransport:
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
        self._base_url = base_url
        self._router = router
        self._lanes = lanes
        self._budget = budget
        self._policy = policy or RetryPolicy()
        self._sleep = sleep

    async def send(self, request: Request) -> AsyncRoutedReply:
        """Send a call; see `FailoverTransport.send`."""
        self._budget.count_call()
        return await self._go(Journey(request, self._base_url, self._router, self._budget, self._policy))

    async def resume(self, journey: Journey, error: APIError) -> AsyncRoutedReply:
        """Send a call again whose stream broke off; see `FailoverTransport.resume`."""
        journey.begin_anew(error)
        return await self._go(journey)

    async def _go(self, journey: Journey) -> AsyncRoutedReply:
        try:
            return await self._first_reply(journey)
        except APIError:
            _tell(self._router, journey)
            raise

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
            try:
                _tell(self._router, journey)
            except BaseException:  # as above
                await routed.close()
                raise
            return routed


def _tell(router: Router, journey: Journey) -> None:
    if router.strategy.on_route is not None:
        router.strategy.on_route(journey.route)
