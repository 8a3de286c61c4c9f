"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lmaas.evaluation._words import cells, header, headline, notes

if TYPE_CHECKING:
    from lmaas.evaluation._report import Report


def markdown(report: Report) -> str:
    """Return scores, differences, cautions and definitions."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"### {headline(report)}"
    yield ""
    yield from (f"**{caution}**  " for caution in report.cautions)
    yield ""
    titles = header(report)
    yield _row(titles)
    yield _row(["---"] * len(titles))
    yield from (_row(cells(report, row)) for row in report.rows)
    yield ""
    yield from (f"- {difference}" for difference in report.differences)
    yield ""
    yield from (f"{note}  " for note in notes(report))


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"
