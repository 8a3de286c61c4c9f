"""The connections of a client of several platforms, and the callers that use them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lmaas._circuit import Circuit
from lmaas._options import ClientOptions
from lmaas._pipeline import (
    AnyAsyncHttpClient,
    AsyncNetwork,
    Shared,
    async_network,
    async_tries,
    tries,
    watcher_of,
)
from lmaas._request import KEY_HEADERS, RequestBuilder
from lmaas.errors import ConfigurationError
from lmaas.middleware import AsyncMiddlewareTransport, MiddlewareTransport
from lmaas.routing._caller import AsyncRoutedCaller, RoutedCaller
from lmaas.routing._endpoint import Endpoint
from lmaas.routing._failover import AsyncFailoverTransport, FailoverTransport
from lmaas.routing._reply import AsyncBeginningTransport, BeginningTransport
from lmaas.routing._router import Member, Router
from lmaas.routing._strategy import Strategy

if TYPE_CHECKING:
    from lmaas._reply import AsyncTransport, Transport
    from lmaas._timer import Clock
    from lmaas._transport import HttpClient

NetworkT = TypeVar("NetworkT")


class _Platforms(Generic[NetworkT]):
    """What both kinds have: the platforms, one network each, and what was seen of them so far."""

    def __init__(self, options: ClientOptions, networks: Mapping[str, NetworkT], clock: Clock) -> None:
        self._networks = networks
        strategy = Strategy.of(options.strategy)
        self._members = [
            Member(one, Circuit(one.base_url, strategy.circuit_breaker, clock=clock), clock)
            for one in options.platforms
        ]
        self._clock = clock

    def _router(self, options: ClientOptions) -> Router:
        return Router(self._members, Strategy.of(options.strategy), self._clock)


class Platforms(_Platforms[Any]):
    """The networks of `LMaaS(platforms=[…])`: an own pool of connections for each platform.

    Raises:
        ConfigurationError: the platforms cannot work.
    """

    def __init__(
        self, options: ClientOptions, http_client: HttpClient | None, *, clock: Clock = time.monotonic
    ) -> None:
        from lmaas._transport import HttpxTransport  # noqa: PLC0415 - with the first client

        endpoints = checked(options.platforms)
        _check_keyless(http_client)
        networks = {one.name: HttpxTransport(one.base_url, http_client) for one in endpoints}
        super().__init__(options, networks, clock)

    def for_base_url(self, base_url: str) -> Platforms:
        """Return this one: each platform has its own."""
        del base_url
        return self

    def caller(self, options: ClientOptions, shared: Shared) -> RoutedCaller:
        """Return what resources call with."""
        lanes: dict[str, Transport] = {
            member.endpoint.name: tries(
                BeginningTransport(self._networks[member.endpoint.name]),
                options,
                shared.budget,
                member.circuit,
            )
            for member in self._members
        }
        router = self._router(options)
        failover = FailoverTransport(options.base_url, router, lanes, shared.budget)
        transport: Transport = failover
        if options.middleware:
            transport = MiddlewareTransport(failover, options.middleware)
        restarts = router.strategy.on_interrupt == "restart"
        return RoutedCaller(
            RequestBuilder(options, self._clock),
            transport,
            watcher_of(options, shared),
            failover if restarts else None,
        )

    def close(self) -> None:
        """Close the connections to all platforms."""
        for network in self._networks.values():
            network.close()


class AsyncPlatforms(_Platforms[AsyncNetwork]):
    """The asynchronous twin of `Platforms`. An aiohttp client serves all platforms with its one pool."""

    def __init__(
        self,
        options: ClientOptions,
        http_client: AnyAsyncHttpClient | None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        endpoints = checked(options.platforms)
        _check_keyless(http_client)
        networks = {one.name: async_network(one.base_url, http_client) for one in endpoints}
        super().__init__(options, networks, clock)

    def for_base_url(self, base_url: str) -> AsyncPlatforms:
        """Return this one: each platform has its own."""
        del base_url
        return self

    def caller(self, options: ClientOptions, shared: Shared) -> AsyncRoutedCaller:
        """Return what resources call with."""
        lanes: dict[str, AsyncTransport] = {
            member.endpoint.name: async_tries(
                AsyncBeginningTransport(self._networks[member.endpoint.name]),
                options,
                shared.budget,
                member.circuit,
            )
            for member in self._members
        }
        router = self._router(options)
        failover = AsyncFailoverTransport(options.base_url, router, lanes, shared.budget)
        transport: AsyncTransport = failover
        if options.middleware:
            transport = AsyncMiddlewareTransport(failover, options.middleware)
        restarts = router.strategy.on_interrupt == "restart"
        return AsyncRoutedCaller(
            RequestBuilder(options, self._clock),
            transport,
            watcher_of(options, shared),
            failover if restarts else None,
        )

    async def close(self) -> None:
        """Close the connections to all platforms."""
        for network in self._networks.values():
            await network.close()


def checked(platforms: Sequence[Any]) -> Sequence[Endpoint]:
    """Return platforms that can be one client's.

    Raises:
        ConfigurationError: one is no `Endpoint`, or two have one name.
    """
    for one in platforms:
        if not isinstance(one, Endpoint):
            message = f"platforms: {type(one).__name__} is not understood; give lmaas.routing.Endpoint(...)."
            raise ConfigurationError(message)
    names = [one.name for one in platforms]
    if len(set(names)) < len(names):
        raise ConfigurationError("platforms: two have the same name.")
    return platforms


def _check_keyless(http_client: object) -> None:
    """Refuse a client of the user's own that would send one key to all platforms.

    Raises:
        ConfigurationError: it holds one.
    """
    headers = getattr(http_client, "headers", None) or {}
    if getattr(http_client, "auth", None) is not None or any(name in headers for name in KEY_HEADERS):
        message = (
            "http_client holds a key, which all platforms would be sent; give each Endpoint its api_key."
        )
        raise ConfigurationError(message)


def first_options(options: ClientOptions) -> ClientOptions:
    """Return the options that requests are built with: the first platform's address, and no key.

    Each platform's own address and key take their place when one is chosen.
    """
    return replace(options, base_url=checked(options.platforms)[0].base_url, api_key=None)
