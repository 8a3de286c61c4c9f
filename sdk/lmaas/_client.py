"""`LMaaS` and `AsyncLMaaS`: options in, resources out. The only place where the layers are put together.

httpx is imported with the first client: who imports lmaas for its types or errors does not pay for a network.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from lmaas._client_options import (
    AsyncClientExtras,
    AsyncOptionChanges,
    ClientExtras,
    OptionChanges,
    changed_options,
    client_options,
    shared_of,
)
from lmaas._client_resources import AsyncRarerResources, RarerResources
from lmaas._cost import Spent
from lmaas._options import NOT_GIVEN, ClientOptions, NotGiven, Timeout
from lmaas._pipeline import (
    AnyAsyncHttpClient,
    AsyncNetwork,
    Shared,
    around,
    async_around,
    async_network,
    watcher_of,
)
from lmaas._request import RequestBuilder
from lmaas.resources import (
    AsyncChat,
    AsyncCompletions,
    AsyncEmbeddings,
    AsyncModels,
    Chat,
    Completions,
    Embeddings,
    Models,
)
from lmaas.resources._caller import AsyncCaller, Caller

if TYPE_CHECKING:
    from lmaas._transport import HttpClient, HttpxTransport
    from lmaas.routing._network import AsyncPlatforms, Platforms


class LMaaS(RarerResources):
    """A client of the lmaas gateway, or of any other server with the OpenAI API.

    Safe to share between threads. Make one and keep it: it holds the connections. Close it, or use `with`.

    Args:
        api_key: Sent as bearer token. Left out: LMAAS_API_KEY; None, or nothing there: no key is sent.
        base_url: Left out: LMAAS_BASE_URL, else http://127.0.0.1:8000/v1. Without a path, `/v1` is added.
        timeout: Seconds for a whole call, retries and body included, or `Timeout` for each deadline.
        max_retries: Tries after the first, for failures before a reply has begun.
        default_headers: Sent with each call.
        default_query: Sent with each call.
        http_client: An `httpx.Client` of your own, for proxies or certificates; it stays yours to close.
        **extras: See `ClientExtras`: circuit breaker, hedging, middleware, telemetry, prices; several
            `platforms` in place of `base_url` and `api_key`, and the `strategy` that one is chosen by.

    Attributes:
        chat: Conversations.
        completions: Continuations of texts.
        embeddings: Texts as vectors.
        models: What the server serves.
        responses, rerank, score, classify, tokenize, detokenize, feedback, files, batches, admin: Imported
            when first used.

    Raises:
        ConfigurationError: an option cannot work.
    """

    def __init__(
        self,
        *,
        api_key: str | NotGiven | None = NOT_GIVEN,
        base_url: str | NotGiven | None = NOT_GIVEN,
        timeout: float | Timeout | NotGiven | None = NOT_GIVEN,
        max_retries: int | NotGiven = NOT_GIVEN,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: HttpClient | None = None,
        **extras: Unpack[ClientExtras],
    ) -> None:
        from lmaas import _transport

        options = client_options(
            api_key, base_url, timeout, max_retries, default_headers, default_query, extras
        )
        if options.platforms:
            from lmaas.routing._network import Platforms

            self._set_up(options, Platforms(options, http_client), shared_of(options), is_owner=True)
            return
        network = _transport.HttpxTransport(options.base_url, http_client)
        self._set_up(options, network, Shared(), is_owner=True)

    def _set_up(
        self, options: ClientOptions, transport: HttpxTransport | Platforms, shared: Shared, *, is_owner: bool
    ) -> None:
        self._options = options
        self._transport = transport
        self._is_owner = is_owner
        self._shared = shared
        self._caller = caller = self._caller_for(options)
        self.chat = Chat(caller)
        self.completions = Completions(caller)
        self.embeddings = Embeddings(caller)
        self.models = Models(caller)

    def _caller_for(self, options: ClientOptions) -> Caller:
        network: Any = self._transport
        if options.platforms:
            caller: Caller = network.caller(options, self._shared)
            return caller
        return Caller(
            RequestBuilder(options, time.monotonic),
            around(network, options, self._shared),
            watcher_of(options, self._shared),
        )

    def with_options(self, **changes: Unpack[OptionChanges]) -> Self:
        """Return a client with other options on the same connections, which this one goes on owning.

        Raises:
            ConfigurationError: an option cannot work.
        """
        options = changed_options(self._options, changes)
        transport = self._transport.for_base_url(options.base_url)
        client = type(self).__new__(type(self))
        is_owner = transport is not self._transport
        client._set_up(options, transport, self._shared, is_owner=is_owner)  # noqa: SLF001 - its own class
        return client

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self._options.base_url

    @property
    def timeout(self) -> Timeout:
        """The deadlines of calls that bring none of their own."""
        return self._options.timeout

    @property
    def max_retries(self) -> int:
        """Tries after the first."""
        return self._options.max_retries

    @property
    def spent(self) -> Spent:
        """What the calls of this client, and of those made from it by `with_options`, have come to so far."""
        return self._shared.tally.spent

    def close(self) -> None:
        """Close the connections. A client of `with_options` leaves them to the one that it came from."""
        if self._is_owner:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"


class AsyncLMaaS(AsyncRarerResources):
    """The asynchronous twin of `LMaaS`, for asyncio. It takes the same options.

    Use it in one event loop. Close it, or use `async with`. `http_client` is an `httpx.AsyncClient`
    or, for many calls at once, `DefaultAioHttpClient()`, which it then closes.

    Attributes:
        chat: Conversations.
        completions: Continuations of texts.
        embeddings: Texts as vectors.
        models: What the server serves.
    """

    def __init__(
        self,
        *,
        api_key: str | NotGiven | None = NOT_GIVEN,
        base_url: str | NotGiven | None = NOT_GIVEN,
        timeout: float | Timeout | NotGiven | None = NOT_GIVEN,
        max_retries: int | NotGiven = NOT_GIVEN,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: AnyAsyncHttpClient | None = None,
        **extras: Unpack[AsyncClientExtras],
    ) -> None:
        options = client_options(
            api_key, base_url, timeout, max_retries, default_headers, default_query, extras
        )
        if options.platforms:
            from lmaas.routing._network import AsyncPlatforms

            self._set_up(options, AsyncPlatforms(options, http_client), shared_of(options), is_owner=True)
            return
        self._set_up(options, async_network(options.base_url, http_client), Shared(), is_owner=True)

    def _set_up(
        self,
        options: ClientOptions,
        transport: AsyncNetwork | AsyncPlatforms,
        shared: Shared,
        *,
        is_owner: bool,
    ) -> None:
        self._options = options
        self._transport = transport
        self._is_owner = is_owner
        self._shared = shared
        self._caller = caller = self._caller_for(options)
        self.chat = AsyncChat(caller)
        self.completions = AsyncCompletions(caller)
        self.embeddings = AsyncEmbeddings(caller)
        self.models = AsyncModels(caller)

    def _caller_for(self, options: ClientOptions) -> AsyncCaller:
        network: Any = self._transport
        if options.platforms:
            caller: AsyncCaller = network.caller(options, self._shared)
            return caller
        return AsyncCaller(
            RequestBuilder(options, time.monotonic),
            async_around(network, options, self._shared),
            watcher_of(options, self._shared),
        )

    def with_options(self, **changes: Unpack[AsyncOptionChanges]) -> Self:
        """Return a client with other options on the same connections; see `LMaaS.with_options`."""
        options = changed_options(self._options, changes)
        transport = self._transport.for_base_url(options.base_url)
        client = type(self).__new__(type(self))
        is_owner = transport is not self._transport
        client._set_up(options, transport, self._shared, is_owner=is_owner)  # noqa: SLF001 - its own class
        return client

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self._options.base_url

    @property
    def timeout(self) -> Timeout:
        """The deadlines of calls that bring none of their own."""
        return self._options.timeout

    @property
    def max_retries(self) -> int:
        """Tries after the first."""
        return self._options.max_retries

    @property
    def spent(self) -> Spent:
        """What the calls of this client, and of those made from it by `with_options`, have come to so far."""
        return self._shared.tally.spent

    async def close(self) -> None:
        """Close the connections. A client of `with_options` leaves them to the one that it came from."""
        if self._is_owner:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"
