"""What came of each example, kept so that a reader can see what a score is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from lmaas.errors import APIError, LMaaSError
from lmaas.evaluation._kind import Kind, Unit
from lmaas.evaluation._metric import NOTHING, Prediction
from lmaas.tasks import Item, Result, TaskInputError, TaskOutputError, TaskUsage

Failure: TypeAlias = Literal["parse", "call"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a candidate made of one example.

    Attributes:
        prediction: What the metrics judge; its value is None after a failure.
        failure: "parse" if an answer cannot be used, or not all of it; "call" if there was none.
        error: The failure in words, which hold neither the text nor the answer, nor what a server said.
        prompt_tokens: Read for it; a share of those of its unit, where several examples are one call.
        completion_tokens: Written for it.
        latency_s: Of the task, all its calls together.
    """

    prediction: Prediction
    failure: Failure | None = None
    error: str | None = None
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    latency_s: float = 0.0


def outcomes_of(kind: Kind[Any], units: Sequence[Unit], items: Iterable[Item[Result]]) -> list[Outcome]:
    """Return the outcome of each example, in order.

    Raises:
        TaskInputError: what was asked for cannot work, for any example.
    """
    by_example: dict[int, Outcome] = {}
    for unit, item in zip(units, items, strict=True):
        by_example.update(zip(unit, _of_unit(kind, unit, item), strict=True))
    return [by_example[index] for index in range(len(kind.examples))]


def _of_unit(kind: Kind[Any], unit: Unit, item: Item[Result]) -> list[Outcome]:
    if item.result is None:
        return [_failed(item.error)] * len(unit)
    share = _share(item.result.usage, len(unit))
    return [
        Outcome(
            made,
            failure=None if made.is_whole else "parse",
            error=None if made.is_whole else "The answer was cut at max_tokens.",
            prompt_tokens=share[0],
            completion_tokens=share[1],
            latency_s=item.result.latency_s,
        )
        for made in kind.predictions(item.result, unit)
    ]


def _failed(error: LMaaSError | None) -> Outcome:
    if isinstance(error, TaskInputError):
        raise error
    failure: Failure = "parse" if isinstance(error, TaskOutputError) else "call"
    said = error.kind if isinstance(error, APIError) else f"{type(error).__name__}: {error}"
    return Outcome(NOTHING, failure, said)


def _share(usage: TaskUsage, examples: int) -> tuple[float, float]:
    return usage.prompt_tokens / examples, usage.completion_tokens / examples
