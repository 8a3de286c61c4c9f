"""`similarity`: how close texts are in meaning to one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan
from lmaas.tasks._result import Result
from lmaas.tasks._vectors import dot, embed


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity(Result):
    """How close texts are to one.

    Attributes:
        scores: Cosines from -1 to 1, in the order of the texts.
        truncated: Indexes of texts of which the model read only the beginning; -1 is the first text.
    """

    scores: tuple[float, ...]
    truncated: tuple[int, ...] = ()

    @property
    def score(self) -> float:
        """The score of the first of the texts, or of the only one."""
        return self.scores[0]


def plan(job: Job, text: str, others: Sequence[str]) -> Plan[Similarity]:
    """Plan the comparison of texts; see `Tasks.similarity`."""
    if not others:
        raise TaskInputError("others: give one or more texts.")
    found = yield from embed(job, [text, *others])
    first, *rest = found.vectors
    scores = tuple(dot(first, vector) for vector in rest)
    return Similarity(scores=scores, truncated=tuple(index - 1 for index in found.truncated))
