"""What a call costs: whole numbers of nano-dollars, by one exact division that is rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from lmaas_gateway.call import Usage
    from lmaas_gateway.settings import ModelSettings, PriceSettings

NANOS = 10**9
"""Nano-dollars in a dollar, and nanoseconds in a second."""

# Tokens are priced by the million and time by the nanosecond; this is what both can be divided by.
_DENOMINATOR = NANOS
_OF_TOKENS = _DENOMINATOR // 10**6
_HALF = _DENOMINATOR // 2


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model's price; all money in nano-dollars.

    Attributes:
        input_per_million_nanos: For a million prompt tokens.
        cached_input_per_million_nanos: For those of them found in the prefix cache.
        output_per_million_nanos: For a million generated tokens.
        gpu_second_nanos: For a second of one GPU.
        gpus: How many of them a replica runs on.
    """

    input_per_million_nanos: int = 0
    cached_input_per_million_nanos: int = 0
    output_per_million_nanos: int = 0
    gpu_second_nanos: int = 0
    gpus: int = 1

    @classmethod
    def of(cls, settings: PriceSettings) -> Price:
        """Read a price from the configuration."""
        cached = settings.cached_input_per_million
        return cls(
            _nanos(settings.input_per_million),
            _nanos(settings.input_per_million if cached is None else cached),
            _nanos(settings.output_per_million),
            _nanos(settings.gpu_second),
            settings.gpus,
        )

    @classmethod
    def parse(cls, text: str) -> Price:
        """Read what `text` wrote."""
        return _DECODER.decode(text)

    def text(self) -> str:
        """Write it down as JSON, for the row of a call."""
        return msgspec.json.encode(self).decode()

    def cost_nanos(self, usage: Usage, busy_ns: int = 0) -> int:
        """Tell what a call costs, rounded half up.

        Args:
            usage: Its tokens.
            busy_ns: Its share of the time of the replica that answered.
        """
        prompt, cached, completion = usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
        tokens = prompt * self.input_per_million_nanos + completion * self.output_per_million_nanos
        if cached:
            saved = self.input_per_million_nanos - self.cached_input_per_million_nanos
            tokens -= min(cached, prompt) * saved
        time = busy_ns * self.gpus * self.gpu_second_nanos
        return (tokens * _OF_TOKENS + time + _HALF) // _DENOMINATOR

    def most_nanos(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Tell what so many tokens cost at most, as `cost_nanos`: none of the prompt's are cached."""
        tokens = (
            prompt_tokens * self.input_per_million_nanos + completion_tokens * self.output_per_million_nanos
        )
        return (tokens * _OF_TOKENS + _HALF) // _DENOMINATOR

    def second_nanos(self) -> int:
        """Tell what a second of a replica costs, busy or idle."""
        return self.gpus * self.gpu_second_nanos


class Capacity(msgspec.Struct, frozen=True):
    """What a model's replicas could have done in some time, beside what they did.

    Attributes:
        utilization: Which part of the time they were busy.
        cost_nanos: What they cost in that time, busy or idle.
    """

    utilization: float
    cost_nanos: int


def capacity_of(price: Price, *, replicas: int, seconds: int, busy_ns: int) -> Capacity:
    """Tell what so many replicas cost in so many seconds, and how much of that time was used."""
    total_s = replicas * seconds
    return Capacity(busy_ns / NANOS / total_s if total_s else 0.0, total_s * price.second_nanos())


_DECODER = msgspec.json.Decoder(Price)


def prices_of(models: Iterable[ModelSettings]) -> Mapping[str, Price]:
    """List the prices by model; those without one are left out."""
    return {model.name: Price.of(model.price) for model in models if model.price is not None}


def _nanos(dollars: Decimal) -> int:
    return int(dollars * NANOS)
