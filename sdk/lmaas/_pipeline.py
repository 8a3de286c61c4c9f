"""What surrounds the network, in the order in which a call passes it.

    middleware → retries → attempt middleware → hedging → circuit → network

A client and those made from it by `with_options` share their retry budget, their circuits and their tally.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from lmaas._aiohttp_client import DefaultAioHttpClient, is_aiohttp
from lmaas._budget import RESERVE, RetryBudget
from lmaas._circuit import AsyncCircuitTransport, Circuit, CircuitTransport
from lmaas._cost import Price, Prices, Tally
from lmaas._log import CallLog, set_up
from lmaas._options import CircuitBreaker, ClientOptions, log_level_from_environment
from lmaas._reply import AsyncTransport, Transport
from lmaas._retry import AsyncRetryTransport, RetryTransport
from lmaas._timer import Clock
from lmaas._watch import CallRecord, End, Observer, Watcher
from lmaas.errors import ConfigurationError
from lmaas.middleware import AsyncMiddleware, AsyncMiddlewareTransport, Middleware, MiddlewareTransport

if TYPE_CHECKING:
    import aiohttp

    from lmaas._aiohttp import AioHttpTransport
    from lmaas._transport import AsyncHttpClient, AsyncHttpxTransport

AsyncNetwork: TypeAlias = "AsyncHttpxTransport | AioHttpTransport"
"""What asynchronous calls are sent by in the end."""

AnyAsyncHttpClient: TypeAlias = "AsyncHttpClient | DefaultAioHttpClient | aiohttp.ClientSession"
"""What `AsyncLMaaS(http_client=...)` takes."""


class CommonExtras(TypedDict, total=False):
    """Options of both kinds of client that most programs leave alone; docs/sdk.md says more of each.

    Attributes:
        circuit_breaker: When a base URL that keeps failing gets a rest; False for never.
        hedge_after_s: Seconds without a reply after which a call is sent once more beside itself.
        telemetry: True for OpenTelemetry spans, or the tracer provider that they go to.
        prices: What models cost, for `client.spent`.
        admin_key: The key of `client.admin`. Left out: LMAAS_ADMIN_KEY, else the client's key.
    """

    circuit_breaker: CircuitBreaker | bool | None
    hedge_after_s: float | None
    telemetry: object
    prices: Prices | Mapping[str, Price] | None
    admin_key: str | None


class Extras(CommonExtras, total=False):
    """The same, with middleware around each call and around each try of a call."""

    middleware: Sequence[Middleware]
    attempt_middleware: Sequence[Middleware]


class AsyncExtras(CommonExtras, total=False):
    """The asynchronous twin of `Extras`."""

    middleware: Sequence[AsyncMiddleware]
    attempt_middleware: Sequence[AsyncMiddleware]


class Shared:
    """What all calls of a client have in common, whichever options they are made with."""

    def __init__(self, clock: Clock = time.monotonic, *, reserve: int = RESERVE) -> None:
        self.budget = RetryBudget(reserve=reserve, clock=clock)
        self.tally = Tally()
        self._clock = clock
        self._circuits: dict[tuple[str, CircuitBreaker], Circuit] = {}

    def circuit(self, options: ClientOptions) -> Circuit | None:
        """Return the circuit to the base URL of `options`, None where there is to be none."""
        limits = options.circuit_breaker
        if not isinstance(limits, CircuitBreaker):
            return None
        made = Circuit(options.base_url, limits, clock=self._clock)
        return self._circuits.setdefault((options.base_url, limits), made)


def around(network: Transport, options: ClientOptions, shared: Shared) -> Transport:
    """Return a transport that sends through all of the above to `network`."""
    transport = tries(network, options, shared.budget, shared.circuit(options))
    transport = RetryTransport(transport, budget=shared.budget)
    if options.middleware:
        transport = MiddlewareTransport(transport, options.middleware)
    return transport


def tries(
    network: Transport, options: ClientOptions, budget: RetryBudget, circuit: Circuit | None
) -> Transport:
    """Return a transport that sends single tries, through what surrounds each of them."""
    transport = network
    if circuit is not None:
        transport = CircuitTransport(transport, circuit)
    if options.hedge_after_s is not None:
        from lmaas._hedging import HedgingTransport  # noqa: PLC0415 - few need it

        transport = HedgingTransport(transport, budget, options.hedge_after_s)
    if options.attempt_middleware:
        transport = MiddlewareTransport(transport, options.attempt_middleware)
    return transport


def async_around(network: AsyncTransport, options: ClientOptions, shared: Shared) -> AsyncTransport:
    """Return the asynchronous twin of `around`."""
    transport = async_tries(network, options, shared.budget, shared.circuit(options))
    transport = AsyncRetryTransport(transport, budget=shared.budget)
    if options.middleware:
        transport = AsyncMiddlewareTransport(transport, options.middleware)
    return transport


def async_tries(
    network: AsyncTransport, options: ClientOptions, budget: RetryBudget, circuit: Circuit | None
) -> AsyncTransport:
    """Return the asynchronous twin of `tries`."""
    transport = network
    if circuit is not None:
        transport = AsyncCircuitTransport(transport, circuit)
    if options.hedge_after_s is not None:
        from lmaas._hedging import AsyncHedgingTransport  # noqa: PLC0415 - few need it

        transport = AsyncHedgingTransport(transport, budget, options.hedge_after_s)
    if options.attempt_middleware:
        transport = AsyncMiddlewareTransport(transport, options.attempt_middleware)
    return transport


def async_network(base_url: str, http_client: AnyAsyncHttpClient | None) -> AsyncNetwork:
    """Return the transport that `http_client` is for; without one, httpx.

    Raises:
        ConfigurationError: `http_client` is for none.
    """
    from lmaas import _transport  # noqa: PLC0415 - with the first client

    if is_aiohttp(http_client):
        from lmaas import _aiohttp  # noqa: PLC0415 - an extra

        client: Any = http_client
        return _aiohttp.AioHttpTransport(client, _transport.tls_context)
    own: Any = http_client
    return _transport.AsyncHttpxTransport(base_url, own)


def watcher_of(options: ClientOptions, shared: Shared, clock: Clock = time.monotonic) -> Watcher:
    """Return what watches calls for telemetry, the log and the tally.

    Raises:
        ConfigurationError: an option, or LMAAS_LOG, cannot work.
    """
    set_up(log_level_from_environment())
    observers: list[Observer] = [CallLog(), _Spending(shared.tally, _prices(options.prices))]
    if options.telemetry is not False and options.telemetry is not None:
        from lmaas._telemetry import telemetry_of  # noqa: PLC0415 - an extra

        observers.insert(0, telemetry_of(options.telemetry))
    return Watcher(observers, clock)


class _Spending:
    """Adds the calls of one client to the tally that it shares."""

    def __init__(self, tally: Tally, prices: Prices | None) -> None:
        self._tally = tally
        self._prices = prices

    def begin(self, record: CallRecord) -> End:
        return lambda: self._tally.add(record.response_model or record.model, record.tokens, self._prices)


def _prices(value: object) -> Prices | None:
    if value is None or isinstance(value, Prices):
        return value
    if isinstance(value, Mapping) and all(isinstance(price, Price) for price in value.values()):
        return Prices(value)
    message = (
        f"prices: {type(value).__name__} is not understood; give {{model: lmaas.Price(...)}} or lmaas.Prices."
    )
    raise ConfigurationError(message)
