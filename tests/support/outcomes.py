"""What a run of pytest came to, read from the JUnit XML that it leaves: what failed, and what took time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ERROR_CHARACTERS = 200
"""An error's first line may hold a whole reply."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test.

    Attributes:
        test: What pytest takes to run it again, as tests/sdk/test_sse.py::test_any_slicing[1].
        file: Where it stands, below the root of the repository.
        took_s: With its fixtures; those of a file or a session count to the test that needs them first.
        error: The first line of why it failed; none if it did not.
    """

    test: str
    file: str
    took_s: float
    error: str | None = None


def read(report: Path) -> list[Outcome] | None:
    """Read a report of the family xunit1, the only one that names files; none if pytest ended before it."""
    if not report.exists():
        return None
    # pytest wrote it a moment ago: nobody else's XML.
    root = ElementTree.parse(report).getroot()
    return [_outcome(case) for case in root.iter("testcase")]


def _outcome(case: ElementTree.Element) -> Outcome:
    file, classname = case.get("file", ""), case.get("classname", "")
    module = file.removesuffix(".py").replace("/", ".")
    classes = classname.removeprefix(module).strip(".").split(".") if module else []
    test = "::".join(part for part in (file or classname, *classes, case.get("name", "")) if part)
    return Outcome(test, file or classname, float(case.get("time", 0)), _error(case))


def _error(case: ElementTree.Element) -> str | None:
    for kind in ("failure", "error"):
        if (found := case.find(kind)) is not None:
            lines = (found.get("message") or found.text or kind).strip().splitlines()
            return lines[0][:ERROR_CHARACTERS] if lines else kind
    return None


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """Name each test that failed, and why, once: one may fail and then fail to clean up."""
    return [f"{test} - {error}" for test, error in {o.test: o.error for o in outcomes if o.error}.items()]


def slowest_files(outcomes: Iterable[Outcome], count: int) -> list[str]:
    """Name the files that took longest, longest first."""
    took_s: Counter[str] = Counter()
    for outcome in outcomes:
        took_s[outcome.file] += outcome.took_s  # type: ignore[assignment]  # Counter is typed for whole numbers
    return [f"{seconds:6.1f} s {file}" for file, seconds in took_s.most_common(count)]
