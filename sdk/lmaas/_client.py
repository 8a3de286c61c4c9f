"""`LMaaS` and `AsyncLMaaS`: options in, resources out. The only place where the layers are put together.

httpx is imported with the first client, the rarer resources with their first use: who imports lmaas for its
types or errors does not pay for a network, nor who chats for files and batches.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from lmaas._budget import RESERVE
from lmaas._cost import Spent
from lmaas._options import DEFAULT_MAX_RETRIES, NOT_GIVEN, ClientOptions, NotGiven, Timeout, from_environment
from lmaas._pipeline import (
    AnyAsyncHttpClient,
    AsyncExtras,
    AsyncNetwork,
    Extras,
    Shared,
    around,
    async_around,
    async_network,
    watcher_of,
)
from lmaas._request import RequestBuilder
from lmaas.errors import ConfigurationError
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
    from lmaas.resources import (
        Admin,
        AsyncAdmin,
        AsyncBatches,
        AsyncCalls,
        AsyncClassify,
        AsyncDetokenize,
        AsyncFeedbackBox,
        AsyncFiles,
        AsyncRerank,
        AsyncResponses,
        AsyncScores,
        AsyncTokenize,
        Batches,
        Calls,
        Classify,
        Detokenize,
        FeedbackBox,
        Files,
        Rerank,
        Responses,
        Scores,
        Tokenize,
    )
    from lmaas.routing import Endpoint, Strategy
    from lmaas.routing._network import AsyncPlatforms, Platforms
    from lmaas.routing._strategy import Order


class _Changes(TypedDict, total=False):
    api_key: str | None
    base_url: str
    timeout: float | Timeout | None
    max_retries: int
    default_headers: Mapping[str, str]
    default_query: Mapping[str, object]


class _Platforms(TypedDict, total=False):
    """Several places to send calls to.

    Attributes:
        platforms: In place of `base_url` and `api_key`.
        strategy: "order", "cheapest", "fastest", "most_reliable", or a `lmaas.routing.Strategy`.
    """

    platforms: Sequence[Endpoint]
    strategy: Order | Strategy | None


class ClientExtras(Extras, _Platforms, total=False):
    """`Extras`, `platforms` and `strategy`."""


class AsyncClientExtras(AsyncExtras, _Platforms, total=False):
    """The asynchronous twin of `ClientExtras`."""


class OptionChanges(_Changes, Extras, total=False):
    """What `with_options` may change; what is left out stays, and headers and query are added to."""

    strategy: Order | Strategy | None


class AsyncOptionChanges(_Changes, AsyncExtras, total=False):
    """The asynchronous twin of `OptionChanges`."""

    strategy: Order | Strategy | None


class LMaaS:
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

        options = _options(api_key, base_url, timeout, max_retries, default_headers, default_query, extras)
        if options.platforms:
            from lmaas.routing._network import Platforms

            self._set_up(options, Platforms(options, http_client), _shared(options), is_owner=True)
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

    @cached_property
    def responses(self) -> Responses:
        """The newer way to call chat models."""
        from lmaas.resources import Responses

        return Responses(self._caller)

    @cached_property
    def rerank(self) -> Rerank:
        """Documents by relevance."""
        from lmaas.resources import Rerank

        return Rerank(self._caller)

    @cached_property
    def score(self) -> Scores:
        """Scores of pairs of texts."""
        from lmaas.resources import Scores

        return Scores(self._caller)

    @cached_property
    def classify(self) -> Classify:
        """Classes of texts."""
        from lmaas.resources import Classify

        return Classify(self._caller)

    @cached_property
    def tokenize(self) -> Tokenize:
        """Texts as the tokens of a model."""
        from lmaas.resources import Tokenize

        return Tokenize(self._caller)

    @cached_property
    def detokenize(self) -> Detokenize:
        """Tokens as a text."""
        from lmaas.resources import Detokenize

        return Detokenize(self._caller)

    @cached_property
    def feedback(self) -> FeedbackBox:
        """What replies were worth."""
        from lmaas.resources import FeedbackBox

        return FeedbackBox(self._caller)

    @cached_property
    def files(self) -> Files:
        """Files on the server."""
        from lmaas.resources import Files

        return Files(self._caller)

    @cached_property
    def batches(self) -> Batches:
        """Many calls from one file."""
        from lmaas.resources import Batches

        return Batches(self._caller)

    @cached_property
    def admin(self) -> Admin:
        """Projects, keys, limits and books of the gateway, for who may."""
        from lmaas.resources import Admin

        return Admin(self._caller_for(self._options.for_admin()))

    @property
    def calls(self) -> Calls:
        """The last calls of the gateway, and what happened to each, for who may; `admin.calls`."""
        return self.admin.calls

    def with_options(self, **changes: Unpack[OptionChanges]) -> Self:
        """Return a client with other options on the same connections, which this one goes on owning.

        Raises:
            ConfigurationError: an option cannot work.
        """
        options = _changed(self._options, changes)
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


class AsyncLMaaS:
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
        options = _options(api_key, base_url, timeout, max_retries, default_headers, default_query, extras)
        if options.platforms:
            from lmaas.routing._network import AsyncPlatforms

            self._set_up(options, AsyncPlatforms(options, http_client), _shared(options), is_owner=True)
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

    @cached_property
    def responses(self) -> AsyncResponses:
        """The newer way to call chat models."""
        from lmaas.resources import AsyncResponses

        return AsyncResponses(self._caller)

    @cached_property
    def rerank(self) -> AsyncRerank:
        """Documents by relevance."""
        from lmaas.resources import AsyncRerank

        return AsyncRerank(self._caller)

    @cached_property
    def score(self) -> AsyncScores:
        """Scores of pairs of texts."""
        from lmaas.resources import AsyncScores

        return AsyncScores(self._caller)

    @cached_property
    def classify(self) -> AsyncClassify:
        """Classes of texts."""
        from lmaas.resources import AsyncClassify

        return AsyncClassify(self._caller)

    @cached_property
    def tokenize(self) -> AsyncTokenize:
        """Texts as the tokens of a model."""
        from lmaas.resources import AsyncTokenize

        return AsyncTokenize(self._caller)

    @cached_property
    def detokenize(self) -> AsyncDetokenize:
        """Tokens as a text."""
        from lmaas.resources import AsyncDetokenize

        return AsyncDetokenize(self._caller)

    @cached_property
    def feedback(self) -> AsyncFeedbackBox:
        """What replies were worth."""
        from lmaas.resources import AsyncFeedbackBox

        return AsyncFeedbackBox(self._caller)

    @cached_property
    def files(self) -> AsyncFiles:
        """Files on the server."""
        from lmaas.resources import AsyncFiles

        return AsyncFiles(self._caller)

    @cached_property
    def batches(self) -> AsyncBatches:
        """Many calls from one file."""
        from lmaas.resources import AsyncBatches

        return AsyncBatches(self._caller)

    @cached_property
    def admin(self) -> AsyncAdmin:
        """Projects, keys, limits and books of the gateway, for who may."""
        from lmaas.resources import AsyncAdmin

        return AsyncAdmin(self._caller_for(self._options.for_admin()))

    @property
    def calls(self) -> AsyncCalls:
        """The last calls of the gateway, and what happened to each, for who may; `admin.calls`."""
        return self.admin.calls

    def with_options(self, **changes: Unpack[AsyncOptionChanges]) -> Self:
        """Return a client with other options on the same connections; see `LMaaS.with_options`."""
        options = _changed(self._options, changes)
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


def _options(
    api_key: str | NotGiven | None,
    base_url: str | NotGiven | None,
    timeout: float | Timeout | NotGiven | None,
    max_retries: int | NotGiven,
    default_headers: Mapping[str, str] | None,
    default_query: Mapping[str, object] | None,
    extras: ClientExtras | AsyncClientExtras,
) -> ClientOptions:
    """Put together what was given, what the environment says, and the defaults."""
    if extras.get("platforms") is not None:
        _check_platforms(base_url, api_key, extras)
    env_base_url, env_api_key = from_environment()
    made = ClientOptions(
        base_url=base_url or env_base_url,
        api_key=env_api_key if isinstance(api_key, NotGiven) else api_key,
        timeout=Timeout() if isinstance(timeout, NotGiven) else Timeout.of(timeout),
        max_retries=DEFAULT_MAX_RETRIES if isinstance(max_retries, NotGiven) else max_retries,
        default_headers=default_headers or {},
        default_query=default_query or {},
        **extras,
    )
    if not made.platforms:
        _check_strategy(made)
        return made
    from lmaas.routing._network import first_options

    return first_options(made)


def _check_platforms(
    base_url: str | NotGiven | None, api_key: str | NotGiven | None, extras: ClientExtras | AsyncClientExtras
) -> None:
    if base_url or api_key:
        raise ConfigurationError("platforms: each has its own base_url and api_key; leave the client's out.")
    if not extras.get("platforms"):
        raise ConfigurationError("platforms: give one or more lmaas.routing.Endpoint(...).")


def _check_strategy(options: ClientOptions) -> None:
    if options.strategy is not None:
        raise ConfigurationError("strategy: there is nothing to choose from; give platforms=[...] too.")


def _shared(options: ClientOptions) -> Shared:
    """Return what the calls of a client of several platforms share: a reserve of retries for each of them."""
    return Shared(reserve=RESERVE * len(options.platforms))


def _changed(options: ClientOptions, changes: OptionChanges | AsyncOptionChanges) -> ClientOptions:
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not NOT_GIVEN}
    if "timeout" in given:
        given["timeout"] = Timeout.of(given["timeout"])
    if options.platforms and given.keys() & {"base_url", "api_key", "platforms"}:
        raise ConfigurationError(
            "with_options: platforms, their addresses and keys stay; make another client."
        )
    for name in given.keys() & {"default_headers", "default_query"}:
        given[name] = {**getattr(options, name), **given[name]}
    changed = replace(options, **given)
    if not changed.platforms:
        _check_strategy(changed)
    return changed
