"""The connections of a client of several platforms, and the callers that use them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

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
from lmaas._request import RequestBuilder, may_hold_secret
from lmaas.errors import ConfigurationError
from lmaas.middleware import AsyncMiddlewareTransport, MiddlewareTransport
from lmaas.routing._caller import AsyncRoutedCaller, RoutedCaller
from lmaas.routing._endpoint import Endpoint
from lmaas.routing._failover import AsyncFailoverTransport, FailoverTransport
from lmaas.routing._reply import AsyncBeginningTransport, BeginningTransport
from lmaas.routing._router import Member, Router
from lmaas.routing._strategy import Strategy

if TYPE_CHECKING:
    from lmaas._timer import Clock
    from lmaas._transport import HttpClient

NetworkT = TypeVar("NetworkT")
CallerT = TypeVar("CallerT", RoutedCaller, AsyncRoutedCaller)


class _Platforms(Generic[NetworkT, CallerT]):
    """What both kinds have: the platforms, one network each, and what was seen of them so far.

    How a call passes the layers is the same for both; which class each layer is, a kind says.
    """

    _beginning: ClassVar[Any]
    _tries: ClassVar[Any]
    _failover: ClassVar[Any]
    _middleware: ClassVar[Any]
    _caller: ClassVar[Any]

    def __init__(self, options: ClientOptions, networks: Mapping[str, NetworkT], clock: Clock) -> None:
        self._networks = networks
        strategy = Strategy.of(options.strategy)
        self._members = [
            Member(one, Circuit(one.base_url, strategy.circuit_breaker, clock=clock), clock)
            for one in options.platforms
        ]
        self._clock = clock

    def for_base_url(self, base_url: str) -> Self:
        """Return this one: each platform has its own."""
        del base_url
        return self

    def caller(self, options: ClientOptions, shared: Shared) -> CallerT:
        """Return what resources call with."""
        router = Router(self._members, Strategy.of(options.strategy), self._clock)
        lanes = {member.endpoint.name: self._lane(member, options, shared) for member in self._members}
        failover = self._failover(options.base_url, router, lanes, shared.budget)
        transport = self._middleware(failover, options.middleware) if options.middleware else failover
        restarts = router.strategy.on_interrupt == "restart"
        caller: CallerT = self._caller(
            RequestBuilder(options, self._clock),
            transport,
            watcher_of(options, shared),
            failover if restarts else None,
        )
        return caller

    def _lane(self, member: Member, options: ClientOptions, shared: Shared) -> Any:
        network = self._beginning(self._networks[member.endpoint.name])
        return self._tries(network, options, shared.budget, member.circuit)


class Platforms(_Platforms[Any, RoutedCaller]):
    """The networks of `LMaaS(platforms=[…])`: an own pool of connections for each platform.

    Raises:
        ConfigurationError: the platforms cannot work.
    """

    _beginning = BeginningTransport
    _tries = staticmethod(tries)
    _failover = FailoverTransport
    _middleware = MiddlewareTransport
    _caller = RoutedCaller

    def __init__(
        self, options: ClientOptions, http_client: HttpClient | None, *, clock: Clock = time.monotonic
    ) -> None:
        from lmaas._transport import HttpxTransport  # noqa: PLC0415 - with the first client

        endpoints = checked(options.platforms)
        _check_keyless(http_client)
        networks = {one.name: HttpxTransport(one.base_url, http_client) for one in endpoints}
        super().__init__(options, networks, clock)

    def close(self) -> None:
        """Close the connections to all platforms."""
        for network in self._networks.values():
            network.close()


class AsyncPlatforms(_Platforms[AsyncNetwork, AsyncRoutedCaller]):
    """The asynchronous twin of `Platforms`. An aiohttp client serves all platforms with its one pool."""

    _beginning = AsyncBeginningTransport
    _tries = staticmethod(async_tries)
    _failover = AsyncFailoverTransport
    _middleware = AsyncMiddlewareTransport
    _caller = AsyncRoutedCaller

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
    sent = [*(getattr(http_client, "headers", None) or ()), *(getattr(http_client, "params", None) or ())]
    is_known = getattr(http_client, "auth", None) is not None or bool(getattr(http_client, "cookies", None))
    if is_known or any(map(may_hold_secret, sent)):
        message = (
            "http_client holds a key, which all platforms would be sent; give each Endpoint its api_key."
        )
        raise ConfigurationError(message)


def first_options(options: ClientOptions) -> ClientOptions:
    """Return the options that requests are built with: the first platform's address, and no key.

    Each platform's own address and key take their place when one is chosen.

    Raises:
        ConfigurationError: the platforms cannot work, or an option would be sent to all that is for one.
    """
    for option in ("default_headers", "default_query"):
        for name in getattr(options, option):
            if may_hold_secret(name):
                own = option.removeprefix("default_")
                message = (
                    f"{option}: {name!r} may hold a key, and all platforms would be sent it; "
                    f"give it to its Endpoint({own}=...)."
                )
                raise ConfigurationError(message)
    return replace(options, base_url=checked(options.platforms)[0].base_url, api_key=None)


def checked_change(before: ClientOptions, after: ClientOptions) -> ClientOptions:
    """Return options that a client on the same platforms is to have.

    Raises:
        ConfigurationError: something of them would be ignored, or be sent to all that is for one.
    """
    breakers = (Strategy.of(one.strategy).circuit_breaker for one in (before, after))
    if isinstance(after.strategy, Strategy) and len(set(breakers)) > 1:
        raise ConfigurationError(
            "with_options: the circuits of the platforms stay; give a strategy with the same "
            "circuit_breaker, or make another client."
        )
    return first_options(after)
