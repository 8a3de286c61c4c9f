"""How many requests come in each hour of a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from lmaas.sizing._errors import SizingError

HOURS = 24

# Assumptions (grade E) of usual days, as shares of the busiest hour, from midnight on.
_NIGHT, _EVENING = (0.02,) * 7, (0.05,) * 5
_OFFICE = (*_NIGHT, 0.2, 0.6, 1.0, 1.0, 0.9, 0.6, 0.8, 1.0, 0.9, 0.7, 0.4, 0.2, *_EVENING)
_MORNING = (0.3, 0.2, 0.1, 0.1, 0.1, 0.15, 0.3, 0.5, 0.6, 0.6, 0.6, 0.7)
_CONSUMER = (*_MORNING, 0.7, 0.7, 0.6, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 0.9, 0.7, 0.5)
CURVES = {"flat": (1.0,) * HOURS, "office": _OFFICE, "consumer": _CONSUMER}


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second in each hour of a day.

    Raises:
        SizingError: there are not 24 rates, one is not a number from 0 on, or all are 0.
    """

    name: str
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.rates) != HOURS:
            raise SizingError(f"a day has {HOURS} rates, one an hour; these are {len(self.rates)}")
        if not all(isfinite(rate) and rate >= 0 for rate in self.rates):
            raise SizingError("each rate must be a number of requests a second, 0 or more")
        if not any(self.rates):
            raise SizingError("at least one hour must have requests")

    @classmethod
    def of_day(cls, peak_rate: float, curve: str = "flat") -> Load:
        """Make a day of its busiest hour's rate and a curve: "flat", "office" or "consumer".

        Raises:
            SizingError: the curve is not known.
        """
        if curve not in CURVES:
            raise SizingError(f"curve {curve!r} is not known; give one of {', '.join(CURVES)}, or 24 rates")
        return cls("expected", tuple(peak_rate * share for share in CURVES[curve]))

    @classmethod
    def of_rates(cls, rates: Sequence[float]) -> Load:
        """Make a day of 24 rates, from midnight on."""
        return cls("expected", tuple(rates))

    @property
    def peak(self) -> float:
        """Requests a second in the busiest hour."""
        return max(self.rates)

    @property
    def requests_per_day(self) -> float:
        """All of a day."""
        return sum(self.rates) * 3600

    def low_expected_peak(self) -> tuple[Load, Load, Load]:
        """Return three days: half of this one, this one, and one that is all as busy as the busiest hour."""
        return (
            Load("low", tuple(rate / 2 for rate in self.rates)),
            Load("expected", self.rates),
            Load("peak", (self.peak,) * HOURS),
        )


def replicas_needed(peak_per_s: float, goodput_per_s: float, spares: int = 0) -> int:
    """Return how many replicas carry the busiest hour: ceil(peak / goodput) + spares, and one at least.

    Source: goodput as what keeps every limit: DistServe, arXiv:2401.09670; utilisation, not the price of an
    hour, decides what tokens cost: arXiv:2606.11690.
    """
    return max(1, ceil(peak_per_s / goodput_per_s - 1e-9)) + spares
