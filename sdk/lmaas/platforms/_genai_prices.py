"""Prices from the package genai-prices, which works offline: its release is the source that a price names."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

from lmaas._cost import Price, PriceTier
from lmaas.errors import ConfigurationError
from lmaas.platforms._offer import Offer
from lmaas.platforms._sourced import Sourced

try:
    from genai_prices.data_snapshot import get_snapshot
except ImportError:
    raise ConfigurationError("genai-prices is not installed; run `pip install 'lmaas[choose]'`.") from None

_RATES: Final = {
    "input_per_million": "input_mtok",
    "output_per_million": "output_mtok",
    "cached_per_million": "cache_read_mtok",
}
_RELEASED: Final = {"0.2.3": date(2026, 11, 1)}
"""First day of the month in which PyPI published a release: the package itself tells no day."""


class GenaiPrices:
    """Reads the price data of the installed genai-prices.

    Args:
        today: The day whose prices count, where the data has several; of prices that change with the hour,
            those of noon, UTC.
    """

    def __init__(self, today: date) -> None:
        self._version = importlib.metadata.version("genai-prices")
        self._as_of = _RELEASED.get(self._version)
        self._noon = datetime.combine(today, time(12), UTC)
        self._providers = {one.id: one for one in get_snapshot().providers}

    def offers(self, platform: str, provider: str, names: Iterable[str] = ()) -> Iterator[Offer]:
        """Yield the models of `provider` as offers of `platform`; none if it is not known there.

        Args:
            platform: The id that the offers get.
            provider: The name that genai-prices has for it.
            names: Further names of models: many, such as dated ones, have a price under another name.
        """
        known = self._providers.get(provider)
        if known is None:
            return
        models = {model.id: model for model in known.models}
        for name in names:
            if name not in models and (found := known.find_model(name.lower())) is not None:
                models[name] = found
        for name, model in models.items():
            yield self._offer(platform, name, model, f"genai-prices {self._version}, {provider} {model.id}")

    def _offer(self, platform: str, name: str, model: Any, source: str) -> Offer:
        context = model.context_window
        return Offer(
            platform=platform,
            model=name,
            price=self._price(model, source),
            context_tokens=Sourced(context, source, self._as_of) if context else None,
            deprecated=Sourced(value=True, source=source, as_of=self._as_of) if model.deprecated else None,
        )

    def _price(self, model: Any, source: str) -> Price | None:
        prices = model.get_prices(self._noon)
        base: dict[str, Any] = {name: _base(getattr(prices, key)) for name, key in _RATES.items()}
        if base["input_per_million"] is None:  # priced by the hour, the page or the image
            return None
        # Embeddings have no output to pay for.
        base["output_per_million"] = base["output_per_million"] or Decimal(0)
        return Price(**base, source=source, as_of=self._as_of, tiers=_tiers(prices))


def _base(price: Any) -> Decimal | None:
    base: Decimal | None = getattr(price, "base", price)
    return base


def _tiers(prices: Any) -> tuple[PriceTier, ...]:
    """Return one tier for each length at which any of the rates changes."""
    by_start: dict[int, dict[str, Decimal]] = {}
    for name, key in _RATES.items():
        for tier in getattr(getattr(prices, key), "tiers", ()):
            by_start.setdefault(tier.start, {})[name] = tier.price
    return tuple(PriceTier(start, **rates) for start, rates in by_start.items())
