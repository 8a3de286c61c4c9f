"""What is measured: a platform of the catalogue, or any URL, and a model of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lmaas.errors import ConfigurationError
from lmaas.measuring._sender import Habits, max_tokens_name

if TYPE_CHECKING:
    from lmaas import AsyncLMaaS
    from lmaas._cost import Price
    from lmaas.platforms import Catalogue, Platform

_LABELLED: Final = re.compile(r"(?:(?P<label>[\w.-]+)=)?(?P<url>https?://\S+)")
_CALLS_AT_ONCE: Final = 20_000
"""More than any generator on one core drives: connections are never what is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One model of one platform.

    Attributes:
        label: Its name in results.
        base_url: Where calls go.
        model: The model that is called; "" for the first that the server lists.
        api_key: Sent with calls; None sends none.
        headers: Sent with calls beside it.
        price: What it costs; None if nobody knows.
        is_self_hosted: Whether it runs on machines of one's own.
        wants_usage: Whether it can tell the usage of streams.
    """

    label: str
    base_url: str
    model: str = ""
    api_key: str | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    price: Price | None = None
    is_self_hosted: bool = False
    wants_usage: bool = True

    def habits(self, model: str, *, has_exact_lengths: bool = False) -> Habits:
        """Return how calls to it are made."""
        return Habits(
            model=model,
            wants_usage=self.wants_usage,
            max_tokens_name=max_tokens_name(self.base_url),
            has_exact_lengths=has_exact_lengths,
        )

    def client(self) -> AsyncLMaaS:
        """Return a client that tries nothing twice, so that failures show; by aiohttp where it is there."""
        from lmaas import AsyncLMaaS, ConfigurationError, DefaultAioHttpClient  # noqa: PLC0415 - a cycle else

        try:
            http_client = DefaultAioHttpClient(max_connections=_CALLS_AT_ONCE)
        except ConfigurationError:
            http_client = None
        return AsyncLMaaS(
            base_url=self.base_url,
            api_key=self.api_key,
            timeout=None,  # the sender has one timer a call, where the client would have one an event
            max_retries=0,
            circuit_breaker=False,
            default_headers=self.headers,
            http_client=http_client,
        )


def target_of(spec: str, catalogue: Catalogue, *, model: str | None = None) -> Target:
    """Read what a user names.

    Args:
        spec: `PLATFORM/MODEL` or `PLATFORM` of the catalogue, or `[LABEL=]URL`.
        catalogue: Where platforms are looked up.
        model: The model, where `spec` names none.

    Raises:
        ConfigurationError: there is no such platform, or it is not known where it is.
    """
    if labelled := _LABELLED.fullmatch(spec):
        url = labelled["url"]
        if "@" in urlsplit(url).netloc:  # it would stand in the label, the command and the journal
            message = "the URL of a target holds a user name or password; give the key as LMAAS_API_KEY."
            raise ConfigurationError(message)
        label = labelled["label"] or re.sub(r"https?://|/v1/?$", "", url)
        return Target(
            label=label,
            base_url=url,
            model=model or "",
            api_key=os.environ.get("LMAAS_API_KEY"),
            price=_own_price(catalogue, label, model),
            is_self_hosted=True,
        )
    name, _, in_spec = spec.partition("/")
    return _of_catalogue(catalogue.platform(name), in_spec or model or "", catalogue)


def _of_catalogue(platform: Platform, model: str, catalogue: Catalogue) -> Target:
    base_url = None if platform.base_url is None else platform.base_url.value
    if base_url is None or "{" in base_url:
        told = "is not known" if base_url is None else f"is {base_url}: fill it in"
        message = (
            f"where {platform.name} is for your account {told}; give `base_url` of {platform.id!r} in "
            "a file of overrides."
        )
        raise ConfigurationError(message)
    if not model and not platform.is_self_hosted:
        raise ConfigurationError(f"name a model of {platform.name}: {platform.id}/MODEL, or --model MODEL.")
    api_key, headers = _credentials(platform)
    return Target(
        label=platform.id,
        base_url=base_url,
        model=model,
        api_key=api_key,
        headers=headers,
        price=catalogue.price(platform.id, model) if model else None,
        is_self_hosted=platform.is_self_hosted,
        wants_usage=platform.stream_usage is None or platform.stream_usage.value,
    )


def _credentials(platform: Platform) -> tuple[str | None, dict[str, str]]:
    auth = None if platform.auth is None else platform.auth.value
    if auth is None or auth.kind == "none":
        return None, {}
    key = os.environ.get(auth.env or "LMAAS_API_KEY")
    if key is None and not platform.is_self_hosted:
        message = f"{platform.name} wants a key; set the environment variable {auth.env or 'LMAAS_API_KEY'}."
        raise ConfigurationError(message)
    if key is not None and auth.kind == "header" and auth.header:
        return None, {auth.header: key}
    return key, {}


def _own_price(catalogue: Catalogue, label: str, model: str | None) -> Price | None:
    known = {platform.id for platform in catalogue.platforms}
    return catalogue.price(label, model) if label in known and model else None
