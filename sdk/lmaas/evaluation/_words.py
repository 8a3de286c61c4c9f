"""The cells of a report in words, for every form that it is printed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmaas.evaluation._metric import Metric
from lmaas.evaluation._resampling import Interval
from lmaas.evaluation._scoring import Comparison, Scored

if TYPE_CHECKING:
    from lmaas.evaluation._report import Report


def headline(report: Report) -> str:
    """Say what was run on what."""
    data = report.dataset
    kind = "synthetic examples" if data.is_synthetic else "examples"
    return f"{data.task}: {len(data.examples)} {kind}, {data.name}, sha256 {data.sha256[:12]}, {report.as_of}"


def header(report: Report) -> list[str]:
    """Return the names of the columns."""
    names = [f"{one.name}{'' if one.is_higher_better else ' (less is better)'}" for one in report.metrics]
    return ["", *names, "unusable", "failed", "tokens in", "tokens out", "USD a call"]


def cells(report: Report, row: Scored) -> list[str]:
    """Return the cells of a row."""
    scores = [_score(metric, row.scores.get(metric.name)) for metric in report.metrics]
    if row.is_baseline:
        return [row.name, *scores, "", "", "", "", ""]
    return [
        row.name,
        *scores,
        f"{row.parse_failure_rate:.0%}",
        f"{row.call_failure_rate:.0%}",
        f"{row.prompt_tokens:.0f}",
        f"{row.completion_tokens:.0f}",
        "" if row.usd_per_call is None else f"{row.usd_per_call:.3g}",
    ]


def _score(metric: Metric, found: Interval | None) -> str:
    if found is None:
        return "-"
    digits = 1 if metric.top > 1 else 2
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def compared(one: Comparison) -> str:
    """Say how two rows differ."""
    found = one.difference
    digits = 1 if abs(found.high) > 1 or abs(found.low) > 1 else 2
    value, low, high = (f"{number:+.{digits}f}" for number in (found.value, found.low, found.high))
    figures = f"{value} [{low}, {high}], p {found.p_value:.3f}"
    if found.is_clear:
        return f"{one.better} is better than {one.worse} in {one.metric}: {figures}"
    return f"{one.better} and {one.worse} cannot be told apart in {one.metric}: {figures}"


def notes(report: Report) -> Sequence[str]:
    """Say how the figures are to be read."""
    return [
        f"Brackets are 95 % intervals: {report.draws} paired bootstrap draws, seed {report.seed}; Wilson's "
        "where all draws agree.",
        *(f"{one.name}: {one.definition}." for one in report.metrics),
    ]
