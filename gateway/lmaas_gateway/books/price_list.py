"""The prices of the configuration that serves: what a call costs, and what it can cost at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.call import Usage
from lmaas_gateway.prices import Price, prices_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmaas_gateway.meter import Meter
    from lmaas_gateway.settings import ModelSettings

_NO_USAGE = Usage()
_UNKNOWN = (Price(), "")


class PriceList:
    """Prices by model. What a model without one costs is not known, and its price is written as nothing."""

    def __init__(self) -> None:
        self._prices: Mapping[str, tuple[Price, str]] = {}

    def follow(self, models: Iterable[ModelSettings]) -> None:
        """Take the prices of a configuration from the next call on."""
        self._prices = {name: (price, price.text()) for name, price in prices_of(models).items()}

    def find(self, model: str) -> tuple[Price, str]:
        """Give the price of a model, and how it is written down; empty if it has none."""
        return self._prices.get(model, _UNKNOWN)

    def most_nanos(self, model: str, prompt_tokens: int, completion_tokens: int) -> int:
        """Tell what so many tokens cost, at most: none of them cached. Its time is known only afterwards."""
        return self._prices.get(model, _UNKNOWN)[0].most_nanos(prompt_tokens, completion_tokens)

    def cost_nanos(self, meter: Meter) -> int:
        """Tell what a call cost that has ended, at the model that answered; it is reckoned once."""
        nanos = meter.cost_nanos
        if nanos is None:
            price = self._prices.get(meter.model, _UNKNOWN)[0]
            nanos = meter.cost_nanos = price.cost_nanos(meter.usage or _NO_USAGE, meter.busy_ns)
        return nanos
