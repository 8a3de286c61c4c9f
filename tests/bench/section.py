"""What the benchmark is made of: sections, each measured alone, judged against its goals and described."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

Result = TypeVar("Result")

Say = Callable[[str], None]
"""Takes a line about how far a measurement is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal and what was measured for it; None where nothing that can be judged was."""

    goal: str
    measured: float | None
    limit: float
    is_floor: bool = False

    @property
    def word(self) -> str:
        """Say whether the goal is met."""
        if self.measured is None:
            return "not measured"
        is_met = self.measured >= self.limit if self.is_floor else self.measured <= self.limit
        return "met" if is_met else "**missed**"

    @property
    def shown(self) -> str:
        """Write what was measured."""
        return "-" if self.measured is None else f"{self.measured:,.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Generic[Result]):
    """One part of the benchmark, which can be measured without the others.

    Attributes:
        name: As the command line takes it.
        title: Heading on the page.
        result: Type of what a measurement gives; a dataclass that JSON can hold.
        measure: Measures; the flag asks for a short run, to see that everything works.
        judge: Holds a result against the goals; without a result, names the goals.
        describe: Tells method and figures in Markdown.
    """

    name: str
    title: str
    result: type[Result]
    measure: Callable[[bool, Say], Result]
    judge: Callable[[Result | None], Sequence[Verdict]]
    describe: Callable[[Result], str]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def spread(values: Sequence[float], digits: int, *, middle: float | None = None) -> str:
    """Write the median, or what stands for it, and the range."""
    show: Callable[[float], str] = f"{{:,.{digits}f}}".format
    shown = median(values) if middle is None else middle
    return f"{show(shown)} ({show(min(values))} to {show(max(values))})"
