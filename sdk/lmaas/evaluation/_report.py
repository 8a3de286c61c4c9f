"""The report of an evaluation: scores beside the baseline, what they rest on, and every single answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmaas._version import __version__
from lmaas.evaluation._metric import Metric
from lmaas.evaluation._scoring import Comparison, Scored, Scores
from lmaas.evidence import Evidence, Grade

if TYPE_CHECKING:
    from rich.table import Table

    from lmaas.evaluation._dataset import Dataset

FEW = 50
"""Fewer examples than this tell little, and the report says so."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found.

    Attributes:
        dataset: The examples.
        metrics: Those of the task, the one that sums up the quality first.
        rows: The baseline first, then the candidates in their order.
        comparisons: Of each two in the first metric, the better one first.
        draws: Of the bootstrap.
        seed: Of the bootstrap.
        as_of: The day of the run.
    """

    dataset: Dataset
    metrics: Sequence[Metric] = field(repr=False)
    rows: Sequence[Scored]
    comparisons: Sequence[Comparison]
    draws: int
    seed: int
    as_of: date

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        metrics: Sequence[Metric],
        scores: Scores,
        *,
        draws: int,
        seed: int,
        as_of: date,
    ) -> Report:
        """Put a report together."""
        return cls(dataset, metrics, scores.rows, scores.comparisons, draws, seed, as_of)

    @property
    def candidates(self) -> Sequence[Scored]:
        """The rows that are models."""
        return self.rows[1:]

    @property
    def cautions(self) -> list[str]:
        """What a reader must know before trusting the figures, worst first."""
        return list(self._cautions())

    @property
    def differences(self) -> list[str]:
        """How each two of the rows differ in the first metric, in words."""
        from lmaas.evaluation._words import compared  # noqa: PLC0415 - a layer of words over this one

        return [compared(one) for one in self.comparisons]

    def _cautions(self) -> Iterator[str]:
        n = len(self.dataset.examples)
        if self.dataset.is_synthetic:
            yield "The examples are synthetic, written for lmaas: they say nothing about your own data."
        if n < FEW:
            yield f"Only {n} examples: {FEW} or more of your own tell differences apart."
        for row in self.candidates:
            yield from _cautions_of(row)
        yield from self._no_better_than_baseline()

    def _no_better_than_baseline(self) -> Iterator[str]:
        baseline = self.rows[0].name
        for one in self.comparisons:
            if baseline in (one.better, one.worse) and (
                one.better == baseline or not one.difference.is_clear
            ):
                other = one.worse if one.better == baseline else one.better
                yield f"{other} is not shown to be better than the {baseline}."

    def evidence(self) -> dict[str, tuple[Evidence, ...]]:
        """Return what was measured of each candidate: its quality, failures and cost, of grade A.

        The source says when the examples are synthetic.
        """
        return {row.name: tuple(self._evidence_of(row)) for row in self.candidates}

    def _evidence_of(self, row: Scored) -> Iterator[Evidence]:
        n = len(row.outcomes)
        what = "synthetic examples of lmaas" if self.dataset.is_synthetic else self.dataset.name
        metric = self.metrics[0]
        source = (
            f"lmaas evaluate {self.dataset.task}, {metric.name} on {what} (sha256 {self.dataset.sha256[:12]})"
        )
        common: dict[str, Any] = {"grade": Grade.A, "source": source, "as_of": self.as_of, "n": n}
        found = row.scores[metric.name]
        span = metric.top - metric.bottom
        value, low, high = ((one - metric.bottom) / span for one in (found.value, found.low, found.high))
        yield Evidence(metric="quality", value=value, low=low, high=high, **common)
        yield Evidence(metric="parse_failure_rate", value=row.parse_failure_rate, **common)
        if row.usd_per_call is not None:
            yield Evidence(metric="usd_per_call", value=row.usd_per_call, unit="usd", **common)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the single answers, as plain values."""
        return {
            "task": self.dataset.task,
            "dataset": {
                "name": self.dataset.name,
                "examples": len(self.dataset.examples),
                "is_synthetic": self.dataset.is_synthetic,
                "sha256": self.dataset.sha256,
            },
            "as_of": self.as_of.isoformat(),
            "lmaas": __version__,
            "bootstrap": {"draws": self.draws, "seed": self.seed, "confidence": 0.95},
            "metrics": {one.name: one.definition for one in self.metrics},
            "rows": [_plain_row(row) for row in self.rows],
            "comparisons": [_plain_comparison(one) for one in self.comparisons],
            "cautions": self.cautions,
            "evidence": {name: [one.to_dict() for one in told] for name, told in self.evidence().items()},
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2)

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        from lmaas.evaluation._markdown import markdown  # noqa: PLC0415 - a layer of words over this one

        return markdown(self)

    def to_table(self) -> Table:
        """Return the scores as a table of rich.

        Raises:
            ConfigurationError: rich is not installed.
        """
        from lmaas.evaluation._table import table  # noqa: PLC0415 - of an extra

        return table(self)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def write_outcomes(self, path: str | Path) -> None:
        """Write every answer as a line of JSON: example, candidate, what it said, whether that failed."""
        with Path(path).open("w", encoding="utf-8") as file:
            for line in self._outcome_lines():
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _outcome_lines(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            for index, (example, one) in enumerate(zip(self.dataset.examples, row.outcomes, strict=True)):
                yield {
                    "index": index,
                    "candidate": row.name,
                    "model": row.model,
                    "example": example.model_dump(mode="json", exclude_unset=True),
                    "prediction": one.prediction.value,
                    "confidence": one.prediction.confidence,
                    "failure": one.failure,
                    "error": one.error,
                    "prompt_tokens": one.prompt_tokens,
                    "completion_tokens": one.completion_tokens,
                    "latency_s": round(one.latency_s, 6),
                }


def _cautions_of(row: Scored) -> Iterator[str]:
    for failure, share, what in (
        ("parse", row.parse_failure_rate, "answers could not be used, and count as wrong"),
        ("call", row.call_failure_rate, "calls failed, and count as wrong"),
    ):
        if share:
            first = next(one.error for one in row.outcomes if one.failure == failure)
            yield f"{row.name}: {share:.0%} of the {what}. The first: {first}"


def _plain_row(row: Scored) -> dict[str, Any]:
    return {
        "name": row.name,
        "model": row.model,
        "options": {name: str(value) for name, value in row.options.items()},
        "scores": {
            name: {"value": one.value, "low": one.low, "high": one.high} for name, one in row.scores.items()
        },
        "parse_failure_rate": row.parse_failure_rate,
        "call_failure_rate": row.call_failure_rate,
        "prompt_tokens_per_example": row.prompt_tokens,
        "completion_tokens_per_example": row.completion_tokens,
        "usd_per_call": row.usd_per_call,
    }


def _plain_comparison(one: Comparison) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "better": one.better,
        "worse": one.worse,
        "difference": one.difference.value,
        "low": one.difference.low,
        "high": one.difference.high,
        "p_value": one.difference.p_value,
        "is_clear": one.difference.is_clear,
    }
