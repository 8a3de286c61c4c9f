"""What the calls of a window come to, at the configured prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmaas_gateway.call import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.live import LiveModel, LiveView
    from lmaas_gateway.prices import Price

_HOUR_S = 3600


class Spending(NamedTuple):
    """What an hour like the window costs, in billionths of a US dollar.

    Attributes:
        total: All models that have a price; None if none has.
        by_model: Those that have one.
    """

    total: int | None
    by_model: Mapping[str, int]


def spending(view: LiveView, prices: Mapping[str, Price]) -> Spending:
    """Tell what an hour like the window costs: tokens, and the GPUs of replicas that run, busy or idle."""
    by_model = {
        model.name: _per_hour(model, prices[model.name], max(1, view.covered_s))
        for model in view.models
        if model.name in prices
    }
    return Spending(sum(by_model.values()) if by_model else None, by_model)


def _per_hour(model: LiveModel, price: Price, covered_s: int) -> int:
    flow = model.flow
    tokens = price.cost_nanos(Usage(flow.prompt_tokens, flow.completion_tokens, flow.cached_tokens))
    running = sum(replica.state != "down" for replica in model.replicas)
    return tokens * _HOUR_S // covered_s + running * price.second_nanos() * _HOUR_S
