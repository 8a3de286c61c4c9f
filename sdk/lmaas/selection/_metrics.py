"""The metrics that candidates are compared on: direction, unit, and which of the four scores each is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from lmaas.errors import ConfigurationError


class Score(StrEnum):
    """The four scores that people ask for."""

    PERFORMANCE = "performance"
    SCALABILITY = "scalability"
    EASE = "ease of use"
    COST = "cost"


class Family(StrEnum):
    """How a figure of the metric varies, which decides how wide an interval without data is."""

    TIME = "time"
    MONEY = "money"
    RATE = "rate"
    SHARE = "share"
    POINTS = "points"


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is.

    Attributes:
        name: As in `Evidence.metric`.
        label: For people.
        score: Which of the four scores it is a part of.
        family: How it varies.
        unit: Of its values.
        is_lower_better: Its direction.
        is_computed: Whether its figures are computed by `select`; what evidence tells of it is not asked.
    """

    name: str
    label: str
    score: Score
    family: Family
    unit: str
    is_lower_better: bool
    is_computed: bool = False

    def format(self, value: float) -> str:
        """Write a value with its unit, for people."""
        if self.unit == "usd":
            return f"${value:,.0f}" if value >= 1000 else f"${value:,.2f}" if value >= 1 else f"${value:.3g}"
        if self.unit == "%":
            return f"{value * 100:.3g} %"
        return f"{value:.3g} {self.unit}".rstrip()

    def keeps(self, value: float, limit: float) -> bool:
        """Tell whether `value` is as good as `limit`, or better."""
        return value <= limit if self.is_lower_better else value >= limit


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


_LATENCIES: Final = {
    "ttft": "first token",
    "itl": "between tokens",
    "tpot": "per token",
    "e2e": "whole answer",
}
_SHARES: Final = {"p50": "median", "p95": "p95", "p99": "p99"}


def _lower(name: str, label: str, score: Score, family: Family, unit: str) -> Metric:
    return Metric(name, label, score, family, unit, is_lower_better=True)


def _higher(name: str, label: str, score: Score, family: Family, unit: str = "") -> Metric:
    return Metric(name, label, score, family, unit, is_lower_better=False)


def _computed(metric: Metric) -> Metric:
    return replace(metric, is_computed=True)


METRICS: Final[Mapping[str, Metric]] = _table(
    _higher("quality", "quality", Score.PERFORMANCE, Family.SHARE),
    *(
        _lower(f"{name}_{share}_s", f"{label}, {words}", Score.PERFORMANCE, Family.TIME, "s")
        for name, label in _LATENCIES.items()
        for share, words in _SHARES.items()
    ),
    _higher("output_tokens_per_s", "tokens a second", Score.PERFORMANCE, Family.TIME, "tokens/s"),
    _lower("error_rate", "failed calls", Score.PERFORMANCE, Family.RATE, "%"),
    _lower("parse_failure_rate", "unreadable answers", Score.PERFORMANCE, Family.RATE, "%"),
    _higher("goodput_per_s", "goodput", Score.SCALABILITY, Family.TIME, "calls/s"),
    _higher("goodput_slope", "goodput over load", Score.SCALABILITY, Family.SHARE),
    _lower("rate_limited_rate", "told to slow down", Score.SCALABILITY, Family.RATE, "%"),
    _computed(_higher("headroom", "capacity over peak", Score.SCALABILITY, Family.TIME, "x")),
    _computed(_higher("locations", "places that can fail", Score.SCALABILITY, Family.POINTS)),
    _computed(_higher("ease_of_use", "ease of use", Score.EASE, Family.POINTS)),
    _computed(_lower("usd_per_call", "price of a call", Score.COST, Family.MONEY, "usd")),
    _computed(_lower("usd_per_month", "cost a month", Score.COST, Family.MONEY, "usd")),
)


def metric_of(name: str) -> Metric:
    """Return what `name` is.

    Raises:
        ConfigurationError: there is no such metric.
    """
    try:
        return METRICS[name]
    except KeyError:
        raise ConfigurationError(f"there is no metric {name!r}; there are {', '.join(METRICS)}") from None
