"""The figures that others are computed from, with the worst in the place of what is not known.

A figure that helps only because another one is missing would reward who hides it. So a computed figure is
computed from these alone, and none of them gets better by being left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from lmaas.evidence import Evidence

_WORST_ERROR_RATE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """What costs and capacities are computed from.

    Attributes:
        error_rate: The share of calls that fail; 1, the worst there is, where nobody knows it.
        is_error_rate_known: Whether it was told.
        goodput_per_s: Of one replica, or of a platform. Nothing stands in for one that is not known: what is
            computed from it is not known either.
    """

    error_rate: float
    is_error_rate_known: bool
    goodput_per_s: Evidence | None

    @classmethod
    def of(cls, told: Mapping[str, Evidence]) -> Self:
        """Take them from what was told of a candidate, by metric."""
        failures = told.get("error_rate")
        return cls(
            _WORST_ERROR_RATE if failures is None else failures.value,
            failures is not None,
            told.get("goodput_per_s"),
        )
