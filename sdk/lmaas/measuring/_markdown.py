"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from lmaas.measuring._tables import Table, headline, slo_text, tables_of

if TYPE_CHECKING:
    from lmaas.measuring._record import BenchReport

_MEANT_BY_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>|#])")


def markdown_of(report: BenchReport, pictures: Iterable[str] = ()) -> str:
    """Return the report; `pictures` are names of files beside it."""
    first = report.measurements[0]
    parts = [
        f"# Measurement {_escaped(report.run_id)}",
        f"{headline(report)}",
        f"- workload: {_escaped(first.workload)}; limits: {slo_text(first.slo)}\n"
        f"- measured: {report.started_at:%Y-%m-%d %H:%M} UTC by lmaas {report.version}\n"
        f"- cost, where prices are known: {report.spent_usd:.4g} USD\n"
        f"- again: `{report.command.replace('`', '')}`",
    ]
    parts += [_table(table) for table in tables_of(report)]
    parts += [f"![{name}]({name})" for name in pictures]
    parts.append("## What the words mean")
    parts.append("\n".join(f"- **{name}**: {meaning}" for name, meaning in report.definitions.items()))
    if report.notes:
        parts.append("\n".join(f"- {note}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    marks = ["---", *["---:"] * (len(table.header) - 1)]
    lines = [table.header, tuple(marks), *(tuple(map(_escaped, row)) for row in table.rows)]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {_escaped(table.title)}\n\n{rows}"


def _escaped(text: str) -> str:
    """Return text that Markdown takes as it is: names are others', and may hold anything."""
    return _MEANT_BY_MARKDOWN.sub(r"\\\1", text.replace("\n", " "))
