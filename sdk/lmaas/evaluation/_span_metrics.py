"""Precision, recall and F1 of sets: a thing counts only if place and type are exactly right."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence, Set

import numpy as np

from lmaas.evaluation._metric import Array, Metric, Prediction, ratio


def set_metrics(
    what: str, definition: str, gold: Sequence[Set[Hashable]], read: Callable[[Prediction], Set[Hashable]]
) -> tuple[Metric, ...]:
    """Return F1, precision and recall over all examples together (micro).

    Args:
        what: What is counted, such as "span": the beginning of the metrics' names.
        definition: When one is right.
        gold: What each example has.
        read: Returns what a prediction has.
    """

    def statistics(predictions: Sequence[Prediction]) -> Array:
        pairs = [(have, read(made)) for have, made in zip(gold, predictions, strict=True)]
        return np.array([(len(have & said), len(said), len(have)) for have, said in pairs], dtype=np.float64)

    return (
        Metric(f"{what}_f1", f"micro F1; {definition}", statistics, f1),
        Metric(f"{what}_precision", "right ones of all that were said", statistics, precision),
        Metric(f"{what}_recall", "right ones of all that there are", statistics, recall),
    )


def f1(sums: Array) -> Array:
    """Return F1 of sums of right, said and had."""
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def precision(sums: Array) -> Array:
    """Return the share of right ones of those said."""
    return ratio(sums[..., 0], sums[..., 1])


def recall(sums: Array) -> Array:
    """Return the share of right ones of those had."""
    return ratio(sums[..., 0], sums[..., 2])
