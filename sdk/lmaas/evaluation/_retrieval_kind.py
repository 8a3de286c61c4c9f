"""Retrieval: the documents of an example in the order of their nearness to its query."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from zlib import crc32

from lmaas.evaluation._examples import Example, Query
from lmaas.evaluation._kind import Baseline, Kind, Unit
from lmaas.evaluation._metric import Metric, Prediction
from lmaas.evaluation._ranking_metrics import DEPTH, ranking_metrics
from lmaas.evaluation._rouge import tokens
from lmaas.tasks._job import Defaults, Job, TaskOptions
from lmaas.tasks._plan import Plan
from lmaas.tasks._result import Result
from lmaas.tasks._vectors import dot, embed

_K1: Final = 1.2
_B: Final = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Rankings(Result):
    """The first documents for each of some queries, the closest first, by index."""

    rankings: tuple[tuple[int, ...], ...]


class RetrievalKind(Kind[Query]):
    """Which documents a query finds, by the vectors of `Tasks.search`.

    Queries with the same documents are one unit: its documents are embedded once.
    """

    name = "retrieval"
    example: ClassVar[type[Example]] = Query

    def units(self) -> list[Unit]:
        """Return the queries of each set of documents."""
        units: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, example in enumerate(self.examples):
            units[tuple(example.documents)].append(index)
        return [tuple(unit) for unit in units.values()]

    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[Rankings]:
        """Plan the vectors of the documents and of all their queries."""
        job = defaults.job("search", self.examples[unit[0]].query, options)
        queries = [self.examples[index].query for index in unit]
        return _plan(job, queries, self.examples[unit[0]].documents, **settings)

    def predictions(self, result: Rankings, unit: Unit) -> Sequence[Prediction]:
        """Return each query's ranking."""
        del unit
        return [Prediction(list(ranking)) for ranking in result.rankings]

    def baseline(self) -> Baseline:
        """Rank by the words that query and document have in common, as BM25 weighs them."""
        return Baseline("BM25", tuple(Prediction(bm25(one.query, one.documents)) for one in self.examples))

    def metrics(self) -> tuple[Metric, ...]:
        """Return nDCG and recall."""
        return ranking_metrics([example.grades() for example in self.examples])


def _plan(job: Job, queries: Sequence[str], documents: Sequence[str]) -> Plan[Rankings]:
    found = yield from embed(job, [*documents, *queries])
    vectors = found.vectors[: len(documents)]
    asked = found.vectors[len(documents) :]
    rankings = [tuple(_best([dot(one, vector) for vector in vectors], documents)) for one in asked]
    return Rankings(rankings=tuple(rankings))


def bm25(query: str, documents: Sequence[str]) -> list[int]:
    """Return the first documents, the best first; those that share no word with the query are not found.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; k1 = 1.2,
    b = 0.75, the inverse document frequency of Lucene, which is never below 0.
    """
    counts = [Counter(tokens(document)) for document in documents]
    mean = max(1.0, sum(count.total() for count in counts) / len(counts))
    scores = [0.0] * len(documents)
    for word in set(tokens(query)):
        having = sum(word in count for count in counts)
        weight = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
        for index, count in enumerate(counts):
            often = count[word]
            length = _K1 * (1 - _B + _B * count.total() / mean)
            scores[index] += weight * often * (_K1 + 1) / (often + length)
    return [index for index in _best(scores, documents) if scores[index] > 0]


def _best(scores: Sequence[float], documents: Sequence[str]) -> list[int]:
    """Return the first documents, the best first.

    Ties go by what the texts hash to: by their order, a model that tells nothing apart would find all where
    examples name what is relevant first.
    """
    by_score = sorted(
        range(len(scores)), key=lambda index: (-scores[index], crc32(documents[index].encode()), index)
    )
    return by_score[:DEPTH]
