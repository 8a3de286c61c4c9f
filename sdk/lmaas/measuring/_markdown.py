"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lmaas._shown import as_markdown, markdown_row
from lmaas.measuring._tables import Table, headline, slo_text, tables_of

if TYPE_CHECKING:
    from lmaas.measuring._record import BenchReport


def markdown_of(report: BenchReport, pictures: Iterable[str] = ()) -> str:
    """Return the report; `pictures` are names of files beside it."""
    first = report.measurements[0]
    parts = [
        f"# Measurement {as_markdown(report.run_id)}",
        as_markdown(headline(report)),
        f"- workload: {as_markdown(first.workload)}; limits: {slo_text(first.slo)}\n"
        f"- measured: {report.started_at:%Y-%m-%d %H:%M} UTC by lmaas {report.version}\n"
        f"- cost, where prices are known: {report.spent_usd:.4g} USD\n"
        f"- again: `{' '.join(report.command.replace('`', '').split())}`",
    ]
    parts += [_table(table) for table in tables_of(report)]
    parts += [f"![{name}]({name})" for name in pictures]
    parts.append("## What the words mean")
    parts.append("\n".join(f"- **{name}**: {meaning}" for name, meaning in report.definitions.items()))
    if report.notes:
        parts.append("\n".join(f"- {as_markdown(note)}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    header, *rows = map(markdown_row, (table.header, *table.rows))
    marks = f"| --- |{' ---: |' * (len(table.header) - 1)}"
    return "\n".join((f"## {as_markdown(table.title)}", "", header, marks, *rows))
