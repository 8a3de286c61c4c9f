"""What calls cost: tokens as the server counted them, and money where a price is known.

A price that is not known is None, never 0, and each price says where it is from and of which day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from threading import Lock
from typing import Any, Final, Self

from lmaas.errors import ConfigurationError

_MILLION: Final = Decimal(1_000_000)
_RATES: Final = ("input_per_million", "output_per_million", "cached_per_million")


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of a call, or of several.

    Attributes:
        input_tokens: Of prompts, with those of the cache.
        cached_tokens: Those of the input that the server had in its cache.
        output_tokens: Of answers, with those of reasoning.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    @classmethod
    def of(cls, usage: Any) -> Self:
        """Read the `usage` of a reply, in the words of chat completions or of responses."""
        prompt = getattr(usage, "prompt_tokens", None)
        if prompt is None:
            prompt = getattr(usage, "input_tokens", 0)
            output = getattr(usage, "output_tokens", 0)
            details = getattr(usage, "input_tokens_details", None)
        else:
            output = getattr(usage, "completion_tokens", 0)
            details = getattr(usage, "prompt_tokens_details", None)
        return cls(prompt or 0, getattr(details, "cached_tokens", 0) or 0, output or 0)

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """Money for a call. `source` and `as_of` say whose price it was, and of which day if that is known."""

    amount: Decimal
    currency: str
    source: str
    as_of: date | None


@dataclass(frozen=True, slots=True)
class PriceTier:
    """What a call costs whose prompt is long: then all of its tokens, not only those above.

    Attributes:
        above_input_tokens: Of prompts with more tokens than this.
        input_per_million: As in `Price`, and so are the others; None: as without the tier.
    """

    above_input_tokens: int
    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    cached_per_million: Decimal | None = None

    def __post_init__(self) -> None:
        if self.above_input_tokens < 0:
            message = f"PriceTier: `above_input_tokens` is {self.above_input_tokens}; give 0 or more."
            raise ConfigurationError(message)
        _make_decimal(self)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs.

    Attributes:
        input_per_million: For a million tokens of input.
        output_per_million: For a million tokens of output.
        source: Where the price is from, such as a contract or the address of a page.
        as_of: The day on which it was that; None if the source does not tell.
        cached_per_million: For a million cached tokens of input; None: the same as other input.
        currency: ISO 4217.
        tiers: What calls with longer prompts cost; the highest one that a call reaches counts.
    """

    input_per_million: Decimal
    output_per_million: Decimal
    source: str
    as_of: date | None
    cached_per_million: Decimal | None = None
    currency: str = "USD"
    tiers: tuple[PriceTier, ...] = ()

    def __post_init__(self) -> None:
        _make_decimal(self)
        in_order = sorted(self.tiers, key=lambda tier: tier.above_input_tokens)
        object.__setattr__(self, "tiers", tuple(in_order))

    def of(self, tokens: TokenCounts) -> Cost:
        """Return the cost of the `tokens` of one call; those of several calls reach no tier together."""
        rates = self.at(tokens.input_tokens)
        cached_price = rates.cached_per_million
        if cached_price is None:
            cached_price = rates.input_per_million
        fresh_tokens = tokens.input_tokens - tokens.cached_tokens
        amount = (
            fresh_tokens * rates.input_per_million
            + tokens.cached_tokens * cached_price
            + tokens.output_tokens * rates.output_per_million
        ) / _MILLION
        return Cost(amount, self.currency, self.source, self.as_of)

    def at(self, input_tokens: int) -> Price:
        """Return the price of a call with so many tokens of input, without tiers."""
        if not self.tiers:
            return self
        rates = {name: getattr(self, name) for name in _RATES}
        for tier in self.tiers:
            if input_tokens > tier.above_input_tokens:
                given = {name: getattr(tier, name) for name in _RATES}
                rates |= {name: rate for name, rate in given.items() if rate is not None}
        return replace(self, tiers=(), **rates)


class Prices:
    """Prices by the name of a model.

    Args:
        by_model: Prices of your own; they come first.
        fallback: Asked for a model that is not there; returns None when it knows none either.
    """

    def __init__(
        self,
        by_model: Mapping[str, Price] | None = None,
        *,
        fallback: Callable[[str, TokenCounts], Cost | None] | None = None,
    ) -> None:
        self._by_model = dict(by_model or {})
        self._fallback = fallback

    @classmethod
    def from_genai_prices(
        cls, by_model: Mapping[str, Price] | None = None, *, provider: str | None = None
    ) -> Prices:
        """Return list prices of hosted models, from the package genai-prices as installed, after `by_model`.

        They say nothing of what a model costs on machines of your own.

        Args:
            by_model: Prices of your own; they come first.
            provider: Whose prices, such as "openai"; left out, the model's name decides.

        Raises:
            ConfigurationError: genai-prices is not installed.
        """
        from lmaas._list_prices import ListPrices  # noqa: PLC0415 - an extra

        list_prices = ListPrices(provider)

        def listed(model: str, tokens: TokenCounts) -> Cost | None:
            found = list_prices.price(model, tokens.input_tokens, tokens.cached_tokens, tokens.output_tokens)
            return None if found is None else Cost(found[0], "USD", found[1], found[2])

        return cls(by_model, fallback=listed)

    def cost(self, model: str, tokens: TokenCounts) -> Cost | None:
        """Return what `tokens` of `model` cost, None if there is no price for it."""
        price = self._by_model.get(model)
        if price is not None:
            return price.of(tokens)
        return None if self._fallback is None else self._fallback(model, tokens)


def cost(response: Any, prices: Prices) -> Cost | None:
    """Return what a reply cost; None if it has no usage, or `prices` has no price for its model.

    Args:
        response: A whole reply, or the chunk of a stream that has the usage.
        prices: What models cost.
    """
    usage = getattr(response, "usage", None)
    model = getattr(response, "model", None)
    if usage is None or not isinstance(model, str):
        return None
    return prices.cost(model, TokenCounts.of(usage))


@dataclass(frozen=True, slots=True)
class Spent:
    """What the calls of a client have come to so far.

    Attributes:
        calls: Calls that have ended, well or not.
        tokens: What servers counted; a call that failed or was cut short may be missing here.
        cost: Money by currency, of the calls with a known price.
        unpriced_calls: Calls with tokens and no known price: the money for them is not in `cost`.
    """

    calls: int = 0
    tokens: TokenCounts = TokenCounts()
    cost: Mapping[str, Decimal] = field(default_factory=dict)
    unpriced_calls: int = 0


class Tally:
    """Adds up what calls cost. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spent = Spent()

    @property
    def spent(self) -> Spent:
        """What there is so far."""
        return self._spent

    def add(self, model: str | None, tokens: TokenCounts | None, prices: Prices | None) -> None:
        """Take note of a call that has ended, with its tokens if it has any."""
        priced = prices.cost(model, tokens) if prices and model and tokens else None
        with self._lock:
            spent = self._spent
            money = spent.cost
            if priced is not None:
                so_far = money.get(priced.currency, Decimal(0))
                money = {**money, priced.currency: so_far + priced.amount}
            self._spent = Spent(
                calls=spent.calls + 1,
                tokens=spent.tokens if tokens is None else spent.tokens + tokens,
                cost=money,
                unpriced_calls=spent.unpriced_calls + (tokens is not None and priced is None),
            )


def _make_decimal(price: Price | PriceTier) -> None:
    for name in _RATES:
        value = getattr(price, name)
        if value is not None:
            object.__setattr__(price, name, _decimal(name, value))


def _decimal(name: str, value: object) -> Decimal:
    if isinstance(value, float):
        value = repr(value)  # 0.1 as it was written
    if isinstance(value, (Decimal, int, str)):
        number = Decimal(value)
        if number.is_finite() and number >= 0:
            return number
    message = f"Price: `{name}` is {value!r}; give a number that is not below 0."
    raise ConfigurationError(message)
