"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmaas._shown import as_markdown, markdown_row
from lmaas.evaluation._words import cells, header, headline, notes

if TYPE_CHECKING:
    from lmaas.evaluation._report import Report


def markdown(report: Report) -> str:
    """Return scores, differences, cautions and definitions."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"### {as_markdown(headline(report))}"
    yield ""
    yield from (f"**{as_markdown(caution)}**  " for caution in report.cautions)
    yield ""
    titles = header(report)
    yield markdown_row(titles)
    yield f"|{' --- |' * len(titles)}"
    yield from (markdown_row(cells(report, row)) for row in report.rows)
    yield ""
    yield from (f"- {as_markdown(difference)}" for difference in report.differences)
    yield ""
    yield from (f"{as_markdown(note)}  " for note in notes(report))
