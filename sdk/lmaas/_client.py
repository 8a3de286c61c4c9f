"""`LMaaS` and `AsyncLMaaS`: options in, resources out. The only place where the layers are put together.

httpx is imported with the first client: who imports lmaas for its types or errors does not pay for a network.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from lmaas._options import DEFAULT_MAX_RETRIES, NOT_GIVEN, ClientOptions, NotGiven, Timeout, from_environment
from lmaas._request import RequestBuilder
from lmaas._retry import AsyncRetryTransport, RetryTransport
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
    from lmaas._transport import AsyncHttpClient, AsyncHttpxTransport, HttpClient, HttpxTransport


class OptionChanges(TypedDict, total=False):
    """What `with_options` may change; what is left out stays."""

    api_key: str | None
    base_url: str
    timeout: float | Timeout | None
    max_retries: int
    default_headers: Mapping[str, str]
    default_query: Mapping[str, object]


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

    Attributes:
        chat: Conversations.
        completions: Continuations of texts.
        embeddings: Texts as vectors.
        models: What the server serves.

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
    ) -> None:
        from lmaas import _transport  # noqa: PLC0415 - see the module's docstring

        options = _options(api_key, base_url, timeout, max_retries, default_headers, default_query)
        self._set_up(options, _transport.HttpxTransport(options.base_url, http_client), is_owner=True)

    def _set_up(self, options: ClientOptions, transport: HttpxTransport, *, is_owner: bool) -> None:
        self._options = options
        self._transport = transport
        self._is_owner = is_owner
        caller = Caller(RequestBuilder(options, time.monotonic), RetryTransport(transport))
        self.chat = Chat(caller)
        self.completions = Completions(caller)
        self.embeddings = Embeddings(caller)
        self.models = Models(caller)

    def with_options(self, **changes: Unpack[OptionChanges]) -> Self:
        """Return a client with other options on the same connections, which this one goes on owning.

        Raises:
            ConfigurationError: an option cannot work.
        """
        options = _changed(self._options, changes)
        transport = self._transport.for_base_url(options.base_url)
        client = type(self).__new__(type(self))
        client._set_up(options, transport, is_owner=transport is not self._transport)  # noqa: SLF001 - its own class
        return client

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self._options.base_url

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

    Use it in one event loop. Close it, or use `async with`. `http_client` is an `httpx.AsyncClient`.

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
        http_client: AsyncHttpClient | None = None,
    ) -> None:
        from lmaas import _transport  # noqa: PLC0415 - see the module's docstring

        options = _options(api_key, base_url, timeout, max_retries, default_headers, default_query)
        self._set_up(options, _transport.AsyncHttpxTransport(options.base_url, http_client), is_owner=True)

    def _set_up(self, options: ClientOptions, transport: AsyncHttpxTransport, *, is_owner: bool) -> None:
        self._options = options
        self._transport = transport
        self._is_owner = is_owner
        caller = AsyncCaller(RequestBuilder(options, time.monotonic), AsyncRetryTransport(transport))
        self.chat = AsyncChat(caller)
        self.completions = AsyncCompletions(caller)
        self.embeddings = AsyncEmbeddings(caller)
        self.models = AsyncModels(caller)

    def with_options(self, **changes: Unpack[OptionChanges]) -> Self:
        """Return a client with other options on the same connections; see `LMaaS.with_options`."""
        options = _changed(self._options, changes)
        transport = self._transport.for_base_url(options.base_url)
        client = type(self).__new__(type(self))
        client._set_up(options, transport, is_owner=transport is not self._transport)  # noqa: SLF001 - its own class
        return client

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self._options.base_url

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
) -> ClientOptions:
    """Put together what was given, what the environment says, and the defaults."""
    env_base_url, env_api_key = from_environment()
    return ClientOptions(
        base_url=base_url or env_base_url,
        api_key=env_api_key if isinstance(api_key, NotGiven) else api_key,
        timeout=Timeout() if isinstance(timeout, NotGiven) else Timeout.of(timeout),
        max_retries=DEFAULT_MAX_RETRIES if isinstance(max_retries, NotGiven) else max_retries,
        default_headers=default_headers or {},
        default_query=default_query or {},
    )


def _changed(options: ClientOptions, changes: OptionChanges) -> ClientOptions:
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not NOT_GIVEN}
    if "timeout" in given:
        given["timeout"] = Timeout.of(given["timeout"])
    return replace(options, **given)
