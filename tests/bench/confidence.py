"""How sure a median is: an interval that needs no assumption about how the values are spread."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the narrowest pair of order statistics that holds the true median with `level` certainty.

    Of fewer than six values none does so with 95 %: then it is their whole range.

    Source: the sign test, turned around; the number of values below the median is binomial.
    """
    ordered = sorted(values)
    count, rank, outside = len(ordered), 0, 0.0
    while rank < (count - 1) // 2:
        outside += 2 * comb(count, rank) / 2**count
        if outside > 1 - level:
            break
        rank += 1
    first = max(rank - 1, 0)
    return ordered[first], ordered[count - 1 - first]
