"""What a client is told once: options, timers, and the environment, which only this file reads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from lmaas.errors import ConfigurationError

DEFAULT_BASE_URL: Final = "http://127.0.0.1:8000/v1"
DEFAULT_MAX_RETRIES: Final = 2


class NotGiven:
    """The type of `NOT_GIVEN`: "the caller said nothing", where None would say JSON null."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven()
"""A parameter with this value is not sent."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """Deadlines of a call, in seconds; None is no deadline.

    Comments that keep a stream alive move none of them.

    Attributes:
        total: From the call to the end of the whole reply or stream, retries included.
        connect: For one connection to be made.
        first_token: For a stream: from the call to its first event.
        inter_token: For a stream: from asking for the next event to having it.
        reply: For a reply that is no stream: a `total` of its own, where streams may take longer.
    """

    total: float | None = 600.0
    connect: float | None = 5.0
    first_token: float | None = None
    inter_token: float | None = 120.0
    reply: float | None = None

    def __post_init__(self) -> None:
        for name in ("total", "connect", "first_token", "inter_token", "reply"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                message = f"timeout: `{name}` is {value!r}; give seconds above 0, or None for no deadline."
                raise ConfigurationError(message)

    @classmethod
    def of(cls, value: object) -> Timeout:
        """Read what users may give: a number is `total`, None is no deadline at all.

        An `httpx.Timeout` means what it does there as nearly as a deadline can: its `read` bounds whole
        replies, and each wait for an event of a stream.
        """
        if isinstance(value, Timeout):
            return value
        if value is None:
            return cls(total=None, inter_token=None)
        if isinstance(value, (int, float)):
            return cls(total=float(value))
        if hasattr(value, "read") and hasattr(value, "connect"):
            read, connect = value.read, value.connect
            total = None if read is None else cls().total
            return cls(total=total, connect=connect, first_token=read, inter_token=read, reply=read)
        message = f"timeout: {type(value).__name__} is not understood; give seconds or lmaas.Timeout(...)."
        raise ConfigurationError(message)

    def for_whole_reply(self) -> Timeout:
        """Return the deadlines of a call whose reply is no stream."""
        if self.reply is None:
            return self
        total = self.reply if self.total is None else min(self.total, self.reply)
        return replace(self, total=total)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """When calls to a base URL stop being sent, so that a server which fails gets a rest.

    Attributes:
        consecutive_failures: Requests in a row that found no server, came too late or failed with a 5xx.
        min_failing_s: How long they must have been failing, in seconds: a restart is no reason to stop.
        open_s: How long calls are then refused before one is let through to see, in seconds.
    """

    consecutive_failures: int = 20
    min_failing_s: float = 5.0
    open_s: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("consecutive_failures", 1), ("min_failing_s", 0), ("open_s", 0)):
            if not getattr(self, name) >= least:
                message = f"circuit_breaker: `{name}` is {getattr(self, name)!r}; give at least {least}."
                raise ConfigurationError(message)

    @classmethod
    def of(cls, value: object) -> CircuitBreaker | None:
        """Read what users may give: True is the default one, False or None is none."""
        if isinstance(value, CircuitBreaker):
            return value
        if value is True:
            return cls()
        if value is False or value is None:
            return None
        name = type(value).__name__
        message = f"circuit_breaker: {name} is not understood; give True, False or CircuitBreaker()."
        raise ConfigurationError(message)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Everything a client was told, checked. The key is kept out of `repr`."""

    base_url: str = DEFAULT_BASE_URL
    api_key: str | None = field(default=None, repr=False)
    timeout: Timeout = Timeout()
    max_retries: int = DEFAULT_MAX_RETRIES
    default_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    default_query: Mapping[str, object] = field(default_factory=dict, repr=False)
    circuit_breaker: CircuitBreaker | bool | None = CircuitBreaker()
    hedge_after_s: float | None = None
    middleware: Sequence[Callable[..., Any]] = ()
    attempt_middleware: Sequence[Callable[..., Any]] = ()
    telemetry: object = False
    prices: object = field(default=None, repr=False)
    admin_key: str | None = field(default=None, repr=False)
    platforms: Sequence[Any] = ()
    strategy: object = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "circuit_breaker", CircuitBreaker.of(self.circuit_breaker))
        if self.hedge_after_s is not None and not (
            self.hedge_after_s > 0 and math.isfinite(self.hedge_after_s)
        ):
            message = (
                f"hedge_after_s is {self.hedge_after_s!r}; give seconds above 0, or None for no hedging."
            )
            raise ConfigurationError(message)
        object.__setattr__(self, "base_url", normal_base_url(self.base_url))
        if self.max_retries < 0:
            message = f"max_retries is {self.max_retries}; give 0 for none."
            raise ConfigurationError(message)
        for name in ("api_key", "admin_key"):
            key = getattr(self, name)
            if key is not None and not (key.isascii() and key.isprintable()):
                message = f"{name} holds characters that cannot stand in an HTTP header (a newline, perhaps)."
                raise ConfigurationError(message)

    def for_admin(self, environ: Mapping[str, str] = os.environ) -> ClientOptions:
        """Return the same options for calls to `/admin/v1`, with the admin key as the key.

        Without an `admin_key` it is that of LMAAS_ADMIN_KEY, else the `api_key`.

        Raises:
            ConfigurationError: there are several platforms.
        """
        if self.platforms:
            message = "client.admin is of one gateway; make a client for it: LMaaS(base_url=...).admin."
            raise ConfigurationError(message)
        key = self.admin_key or environ.get("LMAAS_ADMIN_KEY") or self.api_key
        root = self.base_url.removesuffix("/v1")
        return replace(self, base_url=f"{root}/admin/v1", api_key=key)


def normal_base_url(url: str) -> str:
    """Return `url` without its last slash, and with `/v1` if it names no path."""
    try:
        parts = urlsplit(url.strip())
    except ValueError as exc:
        message = f"base_url is {url!r}, and cannot be read: {exc}."
        raise ConfigurationError(message) from None
    if parts.username or parts.password:
        raise ConfigurationError("base_url holds a user name or password; give the key as api_key.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = f"base_url is {url!r}; give something like {DEFAULT_BASE_URL}."
        raise ConfigurationError(message)
    if _port_is_bad(parts):
        message = f"base_url is {url!r}; its port is not a number from 1 to 65535."
        raise ConfigurationError(message)
    if parts.query or parts.fragment:
        message = f"base_url is {url!r}; a query belongs in default_query."
        raise ConfigurationError(message)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def _port_is_bad(parts: SplitResult) -> bool:
    try:
        return parts.port == 0
    except ValueError:
        return True


def log_level_from_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the level that LMAAS_LOG asks for, "DEBUG" or "INFO"; None where it is unset.

    Raises:
        ConfigurationError: it is something else.
    """
    level = environ.get("LMAAS_LOG", "").upper()
    if level in ("", "DEBUG", "INFO"):
        return level or None
    message = f"LMAAS_LOG is {level.lower()!r}; set it to info or debug, or unset it."
    raise ConfigurationError(message)


def from_environment(environ: Mapping[str, str] = os.environ) -> tuple[str, str | None]:
    """Return base URL and key as LMAAS_BASE_URL and LMAAS_API_KEY give them; empty means unset."""
    return environ.get("LMAAS_BASE_URL") or DEFAULT_BASE_URL, environ.get("LMAAS_API_KEY") or None
