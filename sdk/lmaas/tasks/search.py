"""`search`: the documents that are closest in meaning to a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan
from lmaas.tasks._result import Result
from lmaas.tasks._vectors import dot, embed


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found: `index` is its place among the documents given."""

    index: int
    score: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult(Result):
    """What a query found.

    Attributes:
        hits: The closest first; of two that are as close, the one given first.
        truncated: Indexes of documents of which the model read only the beginning; -1 is the query.
    """

    hits: tuple[Hit, ...]
    truncated: tuple[int, ...] = ()


def plan(job: Job, query: str, documents: Sequence[str], top_k: int = 10) -> Plan[SearchResult]:
    """Plan the search among documents; see `Tasks.search`."""
    if isinstance(documents, str) or not documents:
        raise TaskInputError("documents: give one or more texts.")
    if top_k < 1:
        message = f"top_k is {top_k}; give 1 or more."
        raise TaskInputError(message)
    found = yield from embed(job, [query, *documents])
    asked, *vectors = found.vectors
    scores = [dot(asked, vector) for vector in vectors]
    best = sorted(range(len(documents)), key=lambda index: (-scores[index], index))[:top_k]
    hits = tuple(Hit(index, scores[index], documents[index]) for index in best)
    return SearchResult(hits=hits, truncated=tuple(index - 1 for index in found.truncated))
