"""List prices of hosted models, from the package genai-prices. Needs `pip install lmaas[prices]`."""

from __future__ import annotations

import importlib.metadata
from datetime import date
from decimal import Decimal

from lmaas.errors import ConfigurationError

try:
    import genai_prices
except ImportError:
    message = (
        "genai-prices is not installed; run `pip install lmaas[prices]`, or give Prices({...}) of your own."
    )
    raise ConfigurationError(message) from None


class ListPrices:
    """Asks genai-prices, which is as new as its installation: its release is the source that a cost names."""

    def __init__(self, provider: str | None) -> None:
        self._provider = provider
        self._source = f"genai-prices {importlib.metadata.version('genai-prices')}"

    def price(
        self, model: str, input_tokens: int, cached_tokens: int, output_tokens: int
    ) -> tuple[Decimal, str, date | None] | None:
        """Return US dollars for tokens of `model`, their source and its day; None if there is no price."""
        usage = genai_prices.Usage(
            input_tokens=input_tokens,
            cache_read_tokens=cached_tokens,
            output_tokens=output_tokens,
        )
        try:
            price = genai_prices.calc_price(usage, model, provider_id=self._provider)
        except (LookupError, ValueError):
            return None
        updated_at = price.auto_update_timestamp  # the package can renew itself, if the program has it do so
        as_of = None if updated_at is None else updated_at.date()
        return price.total_price, f"{self._source}, {price.provider.id}", as_of
