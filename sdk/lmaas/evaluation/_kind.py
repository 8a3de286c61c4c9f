"""What a kind of evaluation is: its examples, the plan of its task, its baseline and its metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from lmaas.evaluation._errors import DatasetError
from lmaas.evaluation._examples import Example
from lmaas.evaluation._metric import Metric, Prediction
from lmaas.tasks._job import Defaults, TaskOptions
from lmaas.tasks._plan import Plan

ExampleT = TypeVar("ExampleT", bound=Example)
Unit: TypeAlias = tuple[int, ...]
"""Indexes of the examples that one run of the task answers."""

Names: TypeAlias = Sequence[str] | Mapping[str, str]
"""Labels, types or roles; a mapping says what each means."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What can be had without a model.

    Attributes:
        name: What it does, such as "majority".
    """

    name: str
    predictions: tuple[Prediction, ...]


class Kind(ABC, Generic[ExampleT]):
    """One kind of evaluation over its examples. It makes no calls.

    Args:
        examples: All of them.
        names: Labels, types or roles, for the kinds that have them; left out: those of the examples.

    Raises:
        DatasetError: the examples do not go together.
    """

    name: ClassVar[str]
    example: ClassVar[type[Example]]
    has_names: ClassVar[bool] = False
    settings: ClassVar[frozenset[str]] = frozenset()
    """Settings of a candidate beside `TaskOptions`."""

    def __init__(self, examples: Sequence[ExampleT], names: Names | None = None) -> None:
        if names is not None and not self.has_names:
            message = f"{self.name} has no labels; leave them out."
            raise DatasetError(message)
        self.examples = examples

    def units(self) -> list[Unit]:
        """Return which examples are answered together; one each, unless a kind says otherwise."""
        return [(index,) for index in range(len(self.examples))]

    @abstractmethod
    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[Any]:
        """Plan the task of a unit."""

    @abstractmethod
    def predictions(self, result: Any, unit: Unit) -> Sequence[Prediction]:
        """Return what a result says of each example of its unit."""

    @abstractmethod
    def baseline(self) -> Baseline:
        """Return what can be had without a model."""

    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics, the one that sums up the quality first."""


def check_names(names: Names | None, used: Sequence[str]) -> Names:
    """Return the names to ask for: those given, else those used, in the order of their first use.

    Raises:
        DatasetError: an example has a name that was not given.
    """
    if names is None:
        return list(dict.fromkeys(used))
    for name in used:
        if name not in names:
            message = f"an example has {name!r}, which is not among those given: {', '.join(names)}."
            raise DatasetError(message)
    return names
