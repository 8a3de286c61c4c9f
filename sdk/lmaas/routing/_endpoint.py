"""Where calls can go: an address, its key, its names of models, and what it is known to lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from lmaas._options import normal_base_url
from lmaas.errors import ConfigurationError

if TYPE_CHECKING:
    from lmaas._cost import Price
    from lmaas.platforms import Catalogue

Feature: TypeAlias = Literal["tools", "json_schema", "logprobs", "images", "audio", "vllm"]
"""What a call may need of a platform; "vllm" are parameters that only vLLM knows."""

FEATURES: Final[frozenset[str]] = frozenset(get_args(Feature))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One platform, as a client of several calls it.

    Attributes:
        name: What records call it.
        base_url: As `LMaaS(base_url=…)` takes it.
        api_key: Its key, which no other platform is sent; None: calls go there without one.
        models: The name there of each model that the program names; None: all names are the same there.
        price: What its tokens cost, for "cheapest".
        context_tokens: Prompt and answer together; None: not known, so that no call is kept away.
        lacks: Features that it does not have; calls that need one are not sent there.
        routes: The routes that it has, such as "/chat/completions"; None: not known.
        headers: Sent with each call there, and nowhere else.
        query: The same, in the address.
        first_byte_s: Seconds within which a reply must begin before the next platform is tried; None: the
            call's own deadlines alone. A reply that is no stream begins when the answer is finished.

    Raises:
        ConfigurationError: something of it cannot work.
    """

    name: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    models: Mapping[str, str] | None = None
    price: Price | None = None
    context_tokens: int | None = None
    lacks: frozenset[Feature] = frozenset()
    routes: frozenset[str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, object] = field(default_factory=dict, repr=False)
    first_byte_s: float | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("a platform needs a name.")
        object.__setattr__(self, "base_url", normal_base_url(self.base_url))
        object.__setattr__(self, "lacks", frozenset(self.lacks))
        if unknown := sorted(self.lacks - FEATURES):
            message = f"{self.name}: unknown feature {unknown[0]!r}; there are {', '.join(sorted(FEATURES))}."
            raise ConfigurationError(message)
        for name in ("context_tokens", "first_byte_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                message = f"{self.name}: {name} is {value!r}; give more than 0, or None."
                raise ConfigurationError(message)
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            message = f"{self.name}: api_key holds characters that cannot stand in an HTTP header."
            raise ConfigurationError(message)

    @classmethod
    def from_catalogue(
        cls, catalogue: Catalogue, platform: str, model: str, *, called: str | None = None, **changes: Any
    ) -> Endpoint:
        """Return one model of a platform as the catalogue knows it.

        Args:
            catalogue: `Catalogue.load()`.
            platform: The platform's id.
            model: The model's name there.
            called: What the program calls the model; left out: the same.
            **changes: Fields to set beside what the catalogue says, such as `api_key`.

        Raises:
            ConfigurationError: there is no such platform or model, or nobody told its address.
        """
        known = catalogue.platform(platform)
        offer = catalogue.offer(platform, model)
        told: Any = changes.pop("base_url", None) or known.base_url
        base_url = getattr(told, "value", told)
        if offer is None or base_url is None:
            what = f"the model {model!r}" if offer is None else "its address"
            raise ConfigurationError(f"the catalogue does not know {what} of {platform}.")
        lacks = {
            feature
            for feature in ("tools", "json_schema", "logprobs")
            if any(_says_no(getattr(source, feature, None)) for source in (known, offer))
        }
        fields: dict[str, Any] = {
            "name": platform,
            "models": {called or model: model},
            "price": offer.price,
            "context_tokens": offer.context_tokens and offer.context_tokens.value,
            "lacks": lacks,
        }
        return cls(base_url=base_url, **(fields | changes))

    def model_there(self, model: str | None) -> str | None:
        """Return what `model` is called there; None if it is not offered."""
        if model is None or self.models is None:
            return model
        return self.models.get(model)


def _says_no(sourced: Any) -> bool:
    # Not known is not "no": a call is kept away only from what somebody said is missing.
    return sourced is not None and sourced.value is False
