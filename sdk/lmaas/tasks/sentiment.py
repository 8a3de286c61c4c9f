"""`sentiment`: whether a text is positive, neutral or negative, and how much so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

from lmaas.tasks import classify
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan
from lmaas.tasks._result import Result

Feeling: TypeAlias = Literal["positive", "neutral", "negative"]
FEELINGS: Final[tuple[Feeling, ...]] = get_args(Feeling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentiment(Result):
    """The feeling of a text.

    Attributes:
        score: Probability of positive less that of negative: from -1 to 1.
        probabilities: Of each label, adding up to 1.
        logprobs: Natural log-probability of each label as the answer.
        prior: Probabilities of the labels without a text, which were divided out; None if not asked for.
    """

    label: Feeling
    score: float
    probabilities: Mapping[str, float]
    logprobs: Mapping[str, float]
    prior: Mapping[str, float] | None = None


def plan(job: Job, text: str, *, calibrate: bool = False) -> Plan[Sentiment]:
    """Plan the judgement of a text; see `Tasks.sentiment`."""
    words: dict[str, str] = {feeling: job.prompt.words[feeling] for feeling in FEELINGS}
    values = {"text": text, "labels": job.prompt.words["separator"].join(words.values())}
    found = yield from classify.scored(job, values, words, calibrate=calibrate)
    probabilities, logprobs = found.probabilities or {}, found.logprobs or {}
    return Sentiment(
        label=cast("Feeling", found.label),
        score=probabilities["positive"] - probabilities["negative"],
        probabilities=probabilities,
        logprobs=logprobs,
        prior=found.prior,
    )
