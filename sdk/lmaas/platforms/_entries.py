"""Platforms and models as files write them. The schema is closed; each value can say where it is from.

source = "https://…"          # of all values of the table that do not say
as_of = 2026-11-21
tools = true
logprobs = { value = false, source = "https://…/other", as_of = 2026-10-01 }
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from lmaas._cost import Price, PriceTier
from lmaas.errors import ConfigurationError
from lmaas.platforms._files import check_names
from lmaas.platforms._offer import Offer
from lmaas.platforms._platform import Auth, Platform, RateLimits, Retention
from lmaas.platforms._sourced import Sourced

_Tokens = Annotated[int, Field(ge=1)]
_Start = Annotated[int, Field(ge=0)]
_Address = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
_Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]

_PLAIN: Final[Mapping[str, Any]] = {
    "name": str,
    "is_self_hosted": bool,
    "docs_url": str,
    "genai_prices": str,
    "models_dev": str,
}
_SOURCED: Final[Mapping[str, Any]] = {
    "base_url": _Address,
    "auth": Auth,
    "routes": tuple[str, ...],
    "tools": bool,
    "json_schema": bool,
    "logprobs": bool,
    "stream_usage": bool,
    "prompt_cache": bool,
    "batches": bool,
    "rate_limits": RateLimits,
    "regions": tuple[str, ...],
    "retention": Retention,
}
_OF_MODELS: Final[Mapping[str, Any]] = {
    "context_tokens": _Tokens,
    "max_output_tokens": _Tokens,
    "input_modalities": tuple[str, ...],
    "output_modalities": tuple[str, ...],
    "tools": bool,
    "json_schema": bool,
    "reasoning": bool,
    "open_weights": bool,
    "licence": str,
    "deprecated": bool,
}
_RATES: Final = ("input_per_million", "output_per_million", "cached_per_million")


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where the values of a table are from, unless they say so themselves."""

    source: str
    as_of: date | None

    def within(self, table: Mapping[str, Any], where: str) -> _Origin:
        """Return the origin of the values of `table`, which may bring its own."""
        source = _as(str, table.get("source", self.source), f"{where}.source")
        # A source of its own does not have the day of another one.
        default = self.as_of if source == self.source else None
        return _Origin(source, _as(date | None, table.get("as_of", default), f"{where}.as_of"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A platform as one file tells of it.

    Attributes:
        facts: Of the platform, by field.
        offers: Its models, as this file tells of them.
    """

    id: str
    facts: Mapping[str, Any]
    offers: tuple[Offer, ...] = field(default=())

    def platform(self, base: Platform | None) -> Platform:
        """Return the platform, over what less trusted files told of it."""
        if base is None:
            return Platform(**{"id": self.id, "name": self.id, **self.facts})
        merged: dict[str, Any] = {
            name: value.over(getattr(base, name)) if isinstance(value, Sourced) else value
            for name, value in self.facts.items()
        }
        return replace(base, **merged)


def read_entry(platform_id: str, table: object, *, source: str) -> Entry:
    """Read one platform.

    Args:
        platform_id: Its name.
        table: What the file says of it.
        source: Where values are from that do not say so, such as the file's name.

    Raises:
        ConfigurationError: something is unknown or of the wrong kind.
    """
    where = f"{source}: platform {platform_id!r}"
    if not platform_id or "/" in platform_id:
        raise ConfigurationError(f"{where}: a platform's name is not empty and has no slash.")
    fields = _table(table, where)
    check_names(fields, [*_PLAIN, *_SOURCED, "source", "as_of", "models"], where)
    origin = _Origin(source, None).within(fields, where)
    facts: dict[str, Any] = {
        name: _as(_PLAIN[name], value, f"{where}.{name}") for name, value in fields.items() if name in _PLAIN
    }
    facts |= _facts(fields, _SOURCED, origin, where)
    models = _table(fields.get("models") or {}, f"{where}.models")
    offers = [
        _offer(platform_id, str(name), model, origin, f"{where}, model {str(name)!r}")
        for name, model in models.items()
    ]
    return Entry(platform_id, facts, tuple(offers))


def _offer(platform_id: str, model: str, table: object, origin: _Origin, where: str) -> Offer:
    fields = _table(table, where)
    check_names(fields, [*_OF_MODELS, "price", "source", "as_of"], where)
    origin = origin.within(fields, where)
    price = _price(fields["price"], origin, f"{where}.price") if "price" in fields else None
    return Offer(platform=platform_id, model=model, price=price, **_facts(fields, _OF_MODELS, origin, where))


def _facts(
    fields: Mapping[str, Any], kinds: Mapping[str, Any], origin: _Origin, where: str
) -> dict[str, Any]:
    return {
        name: _sourced(kind, fields[name], origin, f"{where}.{name}")
        for name, kind in kinds.items()
        if name in fields
    }


def _sourced(kind: Any, given: object, origin: _Origin, where: str) -> Sourced[Any]:
    if isinstance(given, Mapping) and "value" in given:
        check_names(given, ["value", "source", "as_of"], where)
        origin, given = origin.within(given, where), given["value"]
    return Sourced(_as(kind, given, where), origin.source, origin.as_of)


def _price(given: object, origin: _Origin, where: str) -> Price:
    fields = _table(given, where)
    check_names(fields, [*_RATES, "currency", "tiers", "source", "as_of"], where)
    origin = origin.within(fields, where)
    for name in _RATES[:2]:
        if name not in fields:
            raise ConfigurationError(f"{where}: `{name}` is missing.")
    told = _as(list[Any], fields.get("tiers", []), f"{where}.tiers")
    tiers = [_tier(tier, f"{where}.tiers.{number}") for number, tier in enumerate(told)]
    currency = _as(_Currency, fields.get("currency", "USD"), f"{where}.currency")
    return Price(
        **_rates(fields, where),
        source=origin.source,
        as_of=origin.as_of,
        currency=currency,
        tiers=tuple(tiers),
    )


def _tier(given: object, where: str) -> PriceTier:
    fields = _table(given, where)
    check_names(fields, ["above_input_tokens", *_RATES], where)
    above = _as(_Start, fields.get("above_input_tokens"), f"{where}.above_input_tokens")
    return PriceTier(above, **_rates(fields, where))


def _rates(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: _number(fields[name], f"{where}.{name}") for name in _RATES if name in fields}


def _number(given: object, where: str) -> Decimal:
    # A float of a file is meant as it was written.
    number: Decimal = _as(Decimal, repr(given) if isinstance(given, float) else given, where)
    if not (number.is_finite() and number >= 0):
        raise ConfigurationError(f"{where}: {given!r} is no price; give a number that is not below 0.")
    return number


def _table(given: object, where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where}: {given!r} is no mapping of names to values.")
    return given


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _as(kind: Any, given: object, where: str) -> Any:
    try:
        return _adapter(kind).validate_python(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        inner = ".".join(map(str, found["loc"]))
        raise ConfigurationError(f"{where}{f'.{inner}' if inner else ''}: {found['msg']}.") from None
