"""Who is evaluated: a model behind a client, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lmaas.evaluation._errors import EvaluationError
from lmaas.evaluation._kind import Kind
from lmaas.tasks._job import Defaults, TaskOptions

if TYPE_CHECKING:
    from lmaas import Price

ClientT = TypeVar("ClientT")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[ClientT]):
    """A model, and how it is asked.

    Attributes:
        model: Its name, as the client's server knows it.
        client: Makes the calls; None: the client that `evaluate` is given.
        name: Its name in the report; left out: the model's.
        options: `TaskOptions`, such as `prompt`, and settings of the task, such as `calibrate`.
        price: What its tokens cost; None: cost is left out.
    """

    model: str
    client: ClientT | None = field(default=None, repr=False)
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    price: Price | None = None

    @classmethod
    def of(cls, given: str | Candidate[ClientT], client: ClientT | None) -> Candidate[ClientT]:
        """Return a whole candidate for what was given.

        Raises:
            EvaluationError: there is no client for it.
        """
        one = cls(given) if isinstance(given, str) else given
        found = one.client or client
        if found is None:
            message = f"{one.model} has no client: give client= to evaluate, or to the Candidate."
            raise EvaluationError(message)
        return replace(one, client=found, name=one.name or one.model)

    def split(self, kind: Kind[Any]) -> tuple[dict[str, Any], TaskOptions]:
        """Return the settings of the task, and the options that all tasks have.

        Raises:
            EvaluationError: an option is neither.
        """
        settings = {name: value for name, value in self.options.items() if name in kind.settings}
        rest = {name: value for name, value in self.options.items() if name not in kind.settings}
        known = TaskOptions.__annotations__.keys() - {"model"}
        if unknown := sorted(rest.keys() - known):
            there_are = ", ".join(sorted({*kind.settings, *known}))
            message = f"{self.name}: unknown option {unknown[0]!r} for {kind.name}; there are {there_are}."
            raise EvaluationError(message)
        options: Any = rest
        return settings, options

    def defaults(self) -> Defaults:
        """Return what its tasks have in common."""
        return Defaults(self.model, self.model)
