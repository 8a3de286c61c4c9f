"""What of a foreign configuration was carried over, and what was not, with where it stands and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmaas_gateway.places import line_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a person must know.

    Attributes:
        line: In the file, from 1; None if it is about no line of it.
        place: Names and indices that lead to it, with points between them.
        why: What became of it, and what to do.
    """

    line: int | None
    place: str
    why: str

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        return f"{where}{self.place}: {self.why}"


@dataclass(slots=True)
class Report:
    """The remarks on one file.

    Attributes:
        text: The file, in which lines are looked up.
    """

    text: str
    remarks: list[Remark] = field(default_factory=list)

    def add(self, place: Sequence[str | int], why: str) -> None:
        """Remark on what stands at a place."""
        shown = ".".join(map(str, place))
        self.remarks.append(Remark(line_of(self.text, place), shown, why))

    def leave(self, found: Mapping[str, Any], known: Mapping[str, str | None], *place: str | int) -> None:
        """Remark on every setting that is not carried over.

        Args:
            found: The settings at `place`.
            known: Those that are looked after elsewhere (None), and why the others are not carried over.
            place: Where they stand.
        """
        for name in found:
            why = known.get(name, "has no counterpart here")
            if why is not None:
                self.add((*place, name), why)
