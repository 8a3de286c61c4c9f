"""A value and where it is from. What nobody has said is None, and stays so: nothing here is guessed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Generic, Self, TypeVar

T = TypeVar("T")

STALE_AFTER_DAYS: Final = 90
"""How old a value may be before it is flagged: prices of hosted models change several times a year."""


@dataclass(frozen=True, slots=True)
class Sourced(Generic[T]):
    """What one source says, and what the others say of the same thing.

    Attributes:
        value: What the most trusted source says.
        source: Where a reader finds it again: a URL, a package and its version, or the name of a file.
        as_of: The day on which the source said so; None if it does not tell.
        others: What less trusted sources say, agreeing or not, most trusted first.
    """

    value: T
    source: str
    as_of: date | None = None
    others: tuple[Sourced[T], ...] = ()

    @property
    def conflicts(self) -> tuple[Sourced[T], ...]:
        """The others that say something else."""
        return tuple(other for other in self.others if other.value != self.value)

    def is_stale(self, today: date, *, after_days: int = STALE_AFTER_DAYS) -> bool:
        """Tell whether the value is older than `after_days`, or of an unknown age."""
        return is_stale(self.as_of, today, after_days=after_days)

    def over(self, other: Sourced[T] | None) -> Self:
        """Return this one with a less trusted one noted beside it."""
        return self if other is None else replace(self, others=(*self.others, other, *other.others))


def is_stale(as_of: date | None, today: date, *, after_days: int = STALE_AFTER_DAYS) -> bool:
    """Tell whether what was true on `as_of` is older than `after_days`; an unknown day counts as too old."""
    return as_of is None or (today - as_of).days > after_days


def first_known(*values: Sourced[T] | None) -> Sourced[T] | None:
    """Return the first value that is known, with the later ones noted beside it; None if none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    best = known[0]
    for other in known[1:]:
        best = best.over(other)
    return best
