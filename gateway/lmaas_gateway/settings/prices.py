"""What a model costs: money for tokens, and for the time of the machine that it runs on."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from lmaas_gateway.settings.fields import FROZEN

# Nine places are a nano-dollar, which is what the books count in.
Dollars = Annotated[Decimal, Field(ge=0, le=10**6, decimal_places=9)]


class PriceSettings(BaseModel):
    """The price of a model's calls, in US dollars; a call costs the sum of what is set."""

    model_config = FROZEN

    input_per_million: Dollars = Field(
        default=Decimal(0), description="Dollars for a million prompt tokens, such as `0.15`."
    )
    cached_input_per_million: Dollars | None = Field(
        default=None,
        description="The same for those found in the prefix cache; default: `input_per_million`.",
    )
    output_per_million: Dollars = Field(
        default=Decimal(0), description="Dollars for a million generated tokens, reasoning included."
    )
    gpu_second: Dollars = Field(
        default=Decimal(0),
        description="Dollars for a second of one of the GPUs that a replica runs on, or of its machine where "
        "it has none. A call pays its share of the time that it was worked on: a second shared with nine "
        "others costs a tenth.",
    )
    gpus: int = Field(default=1, ge=1, le=1024, description="How many GPUs one replica runs on.")

    @model_validator(mode="after")
    def _check_cached(self) -> Self:
        if (
            self.cached_input_per_million is not None
            and self.cached_input_per_million > self.input_per_million
        ):
            message = (
                "cached_input_per_million is higher than input_per_million: a cached token costs less work; "
                "exchange them, or leave cached_input_per_million out"
            )
            raise ValueError(message)
        return self
