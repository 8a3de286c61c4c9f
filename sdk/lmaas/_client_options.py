"""What clients may be told, put together and checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from lmaas._budget import RESERVE
from lmaas._options import DEFAULT_MAX_RETRIES, NOT_GIVEN, ClientOptions, NotGiven, Timeout, from_environment
from lmaas._pipeline import AsyncExtras, Extras, Shared
from lmaas.errors import ConfigurationError

if TYPE_CHECKING:
    from lmaas.routing import Endpoint, Strategy
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


def client_options(
    api_key: str | NotGiven | None,
    base_url: str | NotGiven | None,
    timeout: float | Timeout | NotGiven | None,
    max_retries: int | NotGiven,
    default_headers: Mapping[str, str] | None,
    default_query: Mapping[str, object] | None,
    extras: ClientExtras | AsyncClientExtras,
) -> ClientOptions:
    """Put together what was given, what the environment says, and the defaults.

    Raises:
        ConfigurationError: an option cannot work.
    """
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
    from lmaas.routing._network import first_options  # noqa: PLC0415 - not with `import lmaas`

    return first_options(made)


def _check_platforms(
    base_url: str | NotGiven | None, api_key: str | NotGiven | None, extras: ClientExtras | AsyncClientExtras
) -> None:
    if base_url or api_key:
        raise ConfigurationError("platforms: each has its own base_url and api_key; leave the client's out.")
    if not extras.get("platforms"):
        raise ConfigurationError("platforms: give one or more lmaas.routing.Endpoint(...).")
    _check_circuits(extras)


def _check_circuits(given: Mapping[str, Any]) -> None:
    """Refuse a circuit breaker beside that of the strategy, which is made for having somewhere else to go."""
    if "circuit_breaker" in given:
        raise ConfigurationError(
            "circuit_breaker: with platforms it is a part of the strategy; "
            "give strategy=lmaas.routing.Strategy(circuit_breaker=CircuitBreaker(...))."
        )


def _check_strategy(options: ClientOptions) -> None:
    if options.strategy is not None:
        raise ConfigurationError("strategy: there is nothing to choose from; give platforms=[...] too.")


def shared_of(options: ClientOptions) -> Shared:
    """Return what the calls of a client of several platforms share: a reserve of retries for each of them."""
    return Shared(reserve=RESERVE * len(options.platforms))


def changed_options(options: ClientOptions, changes: OptionChanges | AsyncOptionChanges) -> ClientOptions:
    """Return options with `changes`; headers and query are added to.

    Raises:
        ConfigurationError: an option cannot work, or cannot be changed.
    """
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not NOT_GIVEN}
    if "timeout" in given:
        given["timeout"] = Timeout.of(given["timeout"])
    if options.platforms and given.keys() & {"base_url", "api_key", "platforms"}:
        raise ConfigurationError(
            "with_options: platforms, their addresses and keys stay; make another client."
        )
    if options.platforms:
        _check_circuits(given)
    for name in given.keys() & {"default_headers", "default_query"}:
        given[name] = {**getattr(options, name), **given[name]}
    changed = replace(options, **given)
    if not changed.platforms:
        _check_strategy(changed)
        return changed
    from lmaas.routing._network import checked_change  # noqa: PLC0415 - as above

    return checked_change(options, changed)
