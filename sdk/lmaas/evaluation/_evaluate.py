"""`evaluate` and `evaluate_async`: run a task over examples with each candidate, and score what comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, Unpack

from lmaas.evaluation._candidate import Candidate
from lmaas.evaluation._dataset import Dataset
from lmaas.evaluation._errors import EvaluationError
from lmaas.evaluation._kind import Kind
from lmaas.evaluation._kinds import TaskName, kind_of
from lmaas.evaluation._outcome import Outcome, outcomes_of
from lmaas.evaluation._report import Report
from lmaas.evaluation._scoring import Scored, score
from lmaas.tasks import Result, TaskInputError
from lmaas.tasks._map import ProgressOption, map_items, map_items_async
from lmaas.tasks._plan import Plan
from lmaas.tasks._runner import CONCURRENCY, AsyncRunner, Runner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmaas import AsyncLMaaS, LMaaS

ClientT = TypeVar("ClientT")


class EvaluationOptions(TypedDict, total=False):
    """What `evaluate` takes beside task, examples and candidates.

    Attributes:
        concurrency: Most calls of one candidate under way at once.
        draws: Of the bootstrap.
        seed: Of the bootstrap; the same seed draws the same.
        progress: True shows a bar for each candidate if standard error is a terminal; a function is told.
    """

    concurrency: int
    draws: int
    seed: int
    progress: ProgressOption


def evaluate(
    task: TaskName,
    dataset: Dataset | Sequence[Mapping[str, Any]] | Literal["en", "zh", "en-zh", "zh-en"],
    candidates: Sequence[str | Candidate[LMaaS]],
    *,
    client: LMaaS | None = None,
    **options: Unpack[EvaluationOptions],
) -> Report:
    """Run a task over examples with each candidate, and score the answers beside a baseline.

    An answer that fails, for whichever reason, is a wrong answer: leaving it out would flatter who fails.

    Args:
        task: Which task.
        dataset: `Dataset.load(...)`, rows with the fields of its lines, or the language of the bundled ones.
        candidates: Models by name, or `Candidate`s, whose names must differ.
        client: Makes the calls of candidates that have no client of their own.
        **options: See `EvaluationOptions`.

    Raises:
        EvaluationError: what was asked for cannot work.
        DatasetError: rows are no examples.
        AuthenticationError: a key is refused; likewise PermissionDeniedError and ModelNotFoundError.
    """
    work = _Work(task, dataset, [Candidate.of(one, client) for one in candidates], options)
    return work.report([_answers(work, one) for one in work.candidates])


async def evaluate_async(
    task: TaskName,
    dataset: Dataset | Sequence[Mapping[str, Any]] | Literal["en", "zh", "en-zh", "zh-en"],
    candidates: Sequence[str | Candidate[AsyncLMaaS]],
    *,
    client: AsyncLMaaS | None = None,
    **options: Unpack[EvaluationOptions],
) -> Report:
    """Do the same with asynchronous clients; see `evaluate`."""
    work = _Work(task, dataset, [Candidate.of(one, client) for one in candidates], options)
    return work.report([await _answers_async(work, one) for one in work.candidates])


def _answers(work: _Work[LMaaS], candidate: Candidate[LMaaS]) -> list[Outcome]:
    assert candidate.client is not None  # noqa: S101 - Candidate.of has seen to it
    run = _Run(work, candidate)
    runner = Runner(candidate.client, concurrency=run.concurrency)
    with run.told():
        items = map_items(
            lambda unit: runner.run(run.plan(unit)),
            run.units,
            concurrency=work.concurrency,
            progress=work.progress,
        )
        return outcomes_of(work.kind, work.units, items)


async def _answers_async(work: _Work[AsyncLMaaS], candidate: Candidate[AsyncLMaaS]) -> list[Outcome]:
    assert candidate.client is not None  # noqa: S101 - Candidate.of has seen to it
    run = _Run(work, candidate)
    runner = AsyncRunner(candidate.client, concurrency=run.concurrency)
    with run.told():
        items = await map_items_async(
            lambda unit: runner.run(run.plan(unit)),
            run.units,
            concurrency=work.concurrency,
            progress=work.progress,
        )
        return outcomes_of(work.kind, work.units, items)


class _Work(Generic[ClientT]):
    """What is asked for, checked before the first call."""

    def __init__(
        self,
        task: TaskName,
        dataset: Dataset | Sequence[Mapping[str, Any]] | str,
        candidates: Sequence[Candidate[ClientT]],
        options: EvaluationOptions,
    ) -> None:
        if unknown := sorted(options.keys() - EvaluationOptions.__annotations__.keys()):
            message = (
                f"unknown option {unknown[0]!r}; there are {', '.join(EvaluationOptions.__annotations__)}"
            )
            raise TypeError(message)
        self.dataset = _dataset(task, dataset)
        self.kind: Kind[Any] = kind_of(task)(self.dataset.examples, self.dataset.names)
        self.units = self.kind.units()
        self.metrics = self.kind.metrics()
        self.candidates = _distinct(candidates)
        self.concurrency = options.get("concurrency", CONCURRENCY)
        self.progress = options.get("progress")
        self._draws = options.get("draws", 2000)
        self._seed = options.get("seed", 0)
        if self._draws < 100:
            message = f"draws is {self._draws}; give 100 or more."
            raise EvaluationError(message)
        for candidate in self.candidates:
            candidate.split(self.kind)

    def report(self, answers: Sequence[Sequence[Outcome]]) -> Report:
        """Score the answers of all candidates."""
        baseline = self.kind.baseline()
        rows = [Scored.of_baseline(baseline)]
        rows += [
            Scored.of_candidate(candidate, outcomes)
            for candidate, outcomes in zip(self.candidates, answers, strict=True)
        ]
        scores = score(self.metrics, rows, draws=self._draws, seed=self._seed)
        return Report.of(
            self.dataset, self.metrics, scores, draws=self._draws, seed=self._seed, as_of=date.today()
        )


@dataclass
class _Run(Generic[ClientT]):
    """The run of one candidate."""

    work: _Work[ClientT]
    candidate: Candidate[ClientT]

    def __post_init__(self) -> None:
        self._settings, self._options = self.candidate.split(self.work.kind)
        self._defaults = self.candidate.defaults()
        self.units = [str(index) for index in range(len(self.work.units))]
        # Many units run beside each other; the calls of a single one do.
        self.concurrency = self.work.concurrency if len(self.units) == 1 else 1

    def plan(self, unit: str) -> Plan[Result]:
        return self.work.kind.plan(self._defaults, self.work.units[int(unit)], self._settings, self._options)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say of which candidate it is that what was asked for cannot work."""
        try:
            yield
        except TaskInputError as error:
            message = f"{self.candidate.name}: {error}"
            raise EvaluationError(message) from error


def _dataset(task: TaskName, given: Dataset | Sequence[Mapping[str, Any]] | str) -> Dataset:
    if isinstance(given, str):
        return Dataset.bundled(task, given)
    found = given if isinstance(given, Dataset) else Dataset.of(task, given)
    if found.task != task:
        message = f"these are examples of {found.task}, not of {task}."
        raise EvaluationError(message)
    return found


def _distinct(candidates: Sequence[Candidate[ClientT]]) -> Sequence[Candidate[ClientT]]:
    names = [one.name for one in candidates]
    if not names or len(set(names)) < len(names):
        raise EvaluationError("candidates: give one or more, with different names.")
    return candidates
