"""A model as a platform offers it: what it can do and what it costs, each fact with its source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from lmaas._cost import Price
from lmaas.platforms._sourced import STALE_AFTER_DAYS, Sourced, is_stale


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two sources that say different things of one fact.

    Attributes:
        platform: The platform's id.
        model: The model's name there.
        fact: What they differ on, such as `context_tokens` or `input_per_million`.
        used: What the more trusted one says, and is used.
        other: What the other one says.
    """

    platform: str
    model: str
    fact: str
    used: Sourced[object]
    other: Sourced[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model on a platform. What nobody has told is None.

    Attributes:
        platform: The platform's id.
        model: The name that calls give.
        price: What the most trusted source says it costs; prices of a model on machines of one's own come
            from the overrides, or from sizing.
        other_prices: What other sources say it costs, most trusted first.
        context_tokens: How many tokens prompt and answer may have together.
        max_output_tokens: How many the answer may have.
        input_modalities: What a prompt may hold, such as `text` and `image`.
        output_modalities: What an answer may hold.
        tools: Whether it can call tools.
        json_schema: Whether it can be held to a JSON schema.
        reasoning: Whether it thinks before it answers, in tokens that are paid for.
        open_weights: Whether its weights can be had.
        licence: Of its weights: an SPDX identifier or a name.
        deprecated: Whether it is about to go.
    """

    platform: str
    model: str
    price: Price | None = None
    other_prices: tuple[Price, ...] = ()
    context_tokens: Sourced[int] | None = None
    max_output_tokens: Sourced[int] | None = None
    input_modalities: Sourced[tuple[str, ...]] | None = None
    output_modalities: Sourced[tuple[str, ...]] | None = None
    tools: Sourced[bool] | None = None
    json_schema: Sourced[bool] | None = None
    reasoning: Sourced[bool] | None = None
    open_weights: Sourced[bool] | None = None
    licence: Sourced[str] | None = None
    deprecated: Sourced[bool] | None = None

    @property
    def id(self) -> str:
        """The platform and the model in one word, as commands take it."""
        return f"{self.platform}/{self.model}"

    def is_price_stale(self, today: date, *, after_days: int = STALE_AFTER_DAYS) -> bool:
        """Tell whether there is a price and it is older than `after_days`, or of an unknown age."""
        return self.price is not None and is_stale(self.price.as_of, today, after_days=after_days)

    def conflicts(self) -> tuple[Conflict, ...]:
        """Return what the sources disagree on."""
        return (*self._price_conflicts(), *self._fact_conflicts())

    def _price_conflicts(self) -> tuple[Conflict, ...]:
        if self.price is None:
            return ()
        found = []
        for other in self.other_prices:
            for fact in RATES:
                ours, theirs = getattr(self.price, fact), getattr(other, fact)
                # A source that does not speak of caches does not contradict one that does.
                if None in (ours, theirs) or (ours == theirs and other.currency == self.price.currency):
                    continue
                used: Sourced[object] = Sourced(_money(self.price, ours), self.price.source, self.price.as_of)
                said: Sourced[object] = Sourced(_money(other, theirs), other.source, other.as_of)
                found.append(Conflict(self.platform, self.model, fact, used, said))
        return tuple(found)

    def _fact_conflicts(self) -> tuple[Conflict, ...]:
        facts = ((name, getattr(self, name)) for name in FACTS)
        return tuple(
            Conflict(self.platform, self.model, name, fact, other)
            for name, fact in facts
            if fact is not None
            for other in fact.conflicts
        )


RATES = ("input_per_million", "cached_per_million", "output_per_million")
"""The parts of a price that sources are compared on."""

FACTS = (
    "context_tokens",
    "max_output_tokens",
    "input_modalities",
    "output_modalities",
    "tools",
    "json_schema",
    "reasoning",
    "open_weights",
    "licence",
    "deprecated",
)
"""The facts of an offer that carry a source."""


def _money(price: Price, amount: object) -> str:
    return f"{amount} {price.currency}"
