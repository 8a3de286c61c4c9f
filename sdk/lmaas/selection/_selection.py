"""What `select` returns: the answer with everything that it rests on, and what can be made of it."""

# ruff: noqa: PLC0415 - clients and reports are loaded by who asks for one

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lmaas.measuring import Workload
from lmaas.selection._answer import Answer
from lmaas.selection._candidate import Candidate
from lmaas.selection._preferences import Preferences
from lmaas.selection._robustness import Robustness
from lmaas.selection._row import Domination, Limit, Row
from lmaas.selection._rules import Check, Status
from lmaas.selection._scores import Explained
from lmaas.selection._sensitivity import Flip, Swing
from lmaas.selection._spending import Spending
from lmaas.selection._task import TaskSpec
from lmaas.selection._traits import Point

if TYPE_CHECKING:
    from lmaas import LMaaS


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One candidate, assessed.

    Attributes:
        candidate: What it is.
        row: Its figures by metric.
        checks: Every hard rule and limit.
        place: 1 for the best of those that pass; None for one that does not.
        score: The additive score, 0 to 1, with what is not known as worthless.
        first: The share of draws that it won.
        score_range: The middle 90 % of its score in the draws; None if it was in none.
        scores: Performance, scalability, ease of use and cost.
        dominated: By whom, if another passing candidate is as good in everything.
        spending: What it costs.
        ease: What its ease of use is made of.
        why_not: Why it is not the answer; "" for one that is.
    """

    candidate: Candidate
    row: Row
    checks: tuple[Check, ...]
    place: int | None
    score: float
    first: float
    score_range: tuple[float, float] | None
    scores: tuple[Explained, ...]
    dominated: Domination | None
    spending: Spending
    ease: tuple[Point, ...]
    why_not: str

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.name

    @property
    def passes(self) -> bool:
        """Whether it passes every rule and limit."""
        return self.place is not None

    def checks_of(self, status: Status) -> tuple[Check, ...]:
        """Return the rules that came to `status`."""
        return tuple(check for check in self.checks if check.status is status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The answer to "which one", and why. Renders itself in notebooks.

    Attributes:
        answer: What to take.
        options: Every candidate: those that pass by place, then the others, nearest misses first.
        task: What was asked for.
        workload: How it is used.
        preferences: With which criteria and weights.
        limits: What figures had to keep.
        flips: The smallest changes that would change the answer, smallest first.
        swings: How far each uncertainty moves the lead of the first over the second, widest first.
        robustness: How often each candidate won.
        today: The day of the answer.
        expires: The day from which on it should be done again.
        command: What does it again.
        seed: Of the draws.
    """

    answer: Answer
    options: tuple[Option, ...]
    task: TaskSpec
    workload: Workload
    preferences: Preferences
    limits: tuple[Limit, ...]
    flips: tuple[Flip, ...]
    swings: tuple[Swing, ...]
    robustness: Robustness
    today: date
    expires: date
    command: str
    seed: int

    @property
    def winner(self) -> Option | None:
        """The one to take: of two, the one with the higher score; None if none passes."""
        return next((option for option in self.options if option.passes), None)

    @property
    def runner_up(self) -> Option | None:
        """Who stands in for the winner: the other one of two, else the next that passes."""
        passing = [option for option in self.options if option.passes]
        rivals = [option for option in passing[1:] if option.name in self.answer.names] or passing[1:]
        return next(iter(rivals), None)

    def option(self, name: str) -> Option:
        """Return one candidate.

        Raises:
            KeyError: there is none of that name.
        """
        for option in self.options:
            if option.name == name:
                return option
        raise KeyError(name)

    def client(self, **options: Any) -> LMaaS:
        """Return a client of the winner, with the runner-up where it fails; keys are the environment's.

        Raises:
            ConfigurationError: there is no winner, or nobody knows where its calls go.
        """
        from lmaas.selection._handoff import client_of

        return client_of(self, options)

    def gateway_config(self) -> str:
        """Return a configuration of the lmaas gateway: the winner's route, its fallbacks, its deadlines.

        Raises:
            ConfigurationError: there is no winner, or the gateway cannot reach it.
        """
        from lmaas.selection._handoff import gateway_config_of

        return gateway_config_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        from lmaas.selection._plain import plain_of

        return plain_of(self)

    def to_text(self) -> str:
        """Return the report in plain text."""
        from lmaas.selection._render import text_of

        return text_of(self)

    def to_markdown(self) -> str:
        """Return the report in Markdown."""
        from lmaas.selection._render import markdown_of

        return markdown_of(self)

    def to_html(self) -> str:
        """Return the report as one HTML page that needs nothing else."""
        from lmaas.selection._page import page_of

        return page_of(self)

    def _repr_html_(self) -> str:
        """Return what notebooks show: the report in a frame of its own, so that its style stays there."""
        from lmaas.selection._page import frame_of

        return frame_of(self)
