"""Recall and discounted cumulative gain of rankings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lmaas.evaluation._metric import Metric, Prediction, mean_of

DEPTH = 10
"""How many documents of a ranking are looked at."""


def ranking_metrics(gold: Sequence[Mapping[int, int]]) -> tuple[Metric, ...]:
    """Return nDCG@10, recall@10 and recall@1 for queries with the grades of their relevant documents."""
    return (
        mean_of(
            f"ndcg_at_{DEPTH}",
            f"mean nDCG of the first {DEPTH}, gain = grade (Järvelin and Kekäläinen 2002)",
            lambda made: [ndcg(_ranking(one), have) for one, have in zip(made, gold, strict=True)],
        ),
        _recall(gold, DEPTH),
        _recall(gold, 1),
    )


def _recall(gold: Sequence[Mapping[int, int]], depth: int) -> Metric:
    return mean_of(
        f"recall_at_{depth}",
        f"mean share of the relevant documents among the first {depth}, of those that fit there",
        lambda made: [recall(_ranking(one), have, depth) for one, have in zip(made, gold, strict=True)],
    )


def _ranking(prediction: Prediction) -> list[int]:
    return list(prediction.value or ())


def recall(ranking: Sequence[int], grades: Mapping[int, int], depth: int) -> float:
    """Return the share of relevant documents that are among the first `depth`; at most `depth` could be."""
    found = sum(1 for index in ranking[:depth] if index in grades)
    return found / min(depth, len(grades))


def ndcg(ranking: Sequence[int], grades: Mapping[int, int], depth: int = DEPTH) -> float:
    """Return the gain of the first `depth`, discounted by the logarithm of the rank, of the best possible.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002, as TREC's
    trec_eval computes it: gain = grade, discount = 1 / log2(rank + 1).
    """
    best = sorted(grades.values(), reverse=True)
    return _gain([grades.get(index, 0) for index in ranking[:depth]]) / _gain(best[:depth])


def _gain(grades: Sequence[int]) -> float:
    return math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
