"""What a metric is: a row of numbers for each example that add up, and a score of their sum.

Because the rows add up, a bootstrap draw is a product of matrices and not another evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a candidate made of one example.

    Attributes:
        value: Plain values, as JSON has them; None if there is nothing, which every metric counts as wrong.
        confidence: Probability that the model gave its own answer; None if it gave none.
        is_whole: False if the answer was cut, so that a part of it may be missing.
    """

    value: Any
    confidence: float | None = None
    is_whole: bool = True


NOTHING = Prediction(None)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a task.

    Attributes:
        name: Such as "macro_f1".
        definition: What it is in a line, with its source or signature: printed with every report.
        statistics: Returns a row for each prediction, in the order of the examples; None where the
            predictions do not have what the metric is about.
        score: Returns the score of sums of rows, over the last axis.
        top: The highest value; the lowest is `bottom`.
        is_higher_better: False for an error.
    """

    name: str
    definition: str
    statistics: Callable[[Sequence[Prediction]], Array | None]
    score: Callable[[Array], Array]
    bottom: float = 0.0
    top: float = 1.0
    is_higher_better: bool = True


def ratio(above: Array, below: Array) -> Array:
    """Return `above / below`, 0 where there is nothing below."""
    return np.divide(above, below, out=np.zeros(np.shape(below)), where=np.asarray(below) != 0)


def mean_of(
    name: str, definition: str, values: Callable[[Sequence[Prediction]], Sequence[float]], top: float = 1.0
) -> Metric:
    """Return the metric that is the mean of one value an example."""

    def statistics(predictions: Sequence[Prediction]) -> Array:
        return np.array([(value, 1.0) for value in values(predictions)], dtype=np.float64)

    return Metric(name, definition, statistics, lambda sums: ratio(sums[..., 0], sums[..., 1]), top=top)
