"""Prices, as the configuration sets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.administration import objects
from lmaas_gateway.settings import PriceSettings

if TYPE_CHECKING:
    from decimal import Decimal

    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.settings import ModelSettings, Settings


class Prices:
    """What models cost.

    Args:
        settings: The configuration that serves.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def list(self, actor: Actor) -> objects.Page[objects.Price]:
        """List all models' prices."""
        actor.require("prices:read")
        return objects.Page(data=[_show(model) for model in self._settings.models])


def _show(model: ModelSettings) -> objects.Price:
    price = model.price or PriceSettings()
    cached = price.cached_input_per_million
    return objects.Price(
        id=model.name,
        input_per_million_nanos=_nanos(price.input_per_million),
        cached_input_per_million_nanos=_nanos(price.input_per_million if cached is None else cached),
        output_per_million_nanos=_nanos(price.output_per_million),
        gpu_second_nanos=_nanos(price.gpu_second),
        gpus=price.gpus,
    )


def _nanos(dollars: Decimal) -> int:
    return int(dollars * 10**9)
