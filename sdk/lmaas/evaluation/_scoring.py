"""Scores of all candidates on the same draws of the same examples, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lmaas.evaluation._metric import Array, Metric
from lmaas.evaluation._outcome import Outcome
from lmaas.evaluation._resampling import Difference, Interval, Resampler, difference_of, interval_of

if TYPE_CHECKING:
    from lmaas._cost import Price
    from lmaas.evaluation._candidate import Candidate
    from lmaas.evaluation._kind import Baseline


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate, or the baseline, with what it answered and how that scores.

    Attributes:
        name: Its name in the report.
        model: The model's; None for the baseline.
        outcomes: Of each example, in order.
        scores: By the metric's name; a metric that its answers do not have is not there.
        usd_per_call: Of the mean example that has a count of tokens; None without a price, or with one in
            another currency, or where no example has a count.
    """

    name: str
    model: str | None
    outcomes: Sequence[Outcome] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Interval] = field(default_factory=dict)
    usd_per_call: float | None = None

    @classmethod
    def of_baseline(cls, baseline: Baseline) -> Scored:
        """Take what can be had without a model."""
        return cls(f"baseline: {baseline.name}", None, [Outcome(made) for made in baseline.predictions])

    @classmethod
    def of_candidate(cls, candidate: Candidate[Any], outcomes: Sequence[Outcome]) -> Scored:
        """Take the answers of a candidate."""
        usd = _usd_per_call(candidate, outcomes)
        return cls(candidate.name, candidate.model, outcomes, candidate.options, usd_per_call=usd)

    @property
    def is_baseline(self) -> bool:
        """Whether it is no model."""
        return self.model is None

    @property
    def parse_failure_rate(self) -> float:
        """Answers that could not be used, or not all of them, of all examples."""
        return sum(one.failure == "parse" for one in self.outcomes) / len(self.outcomes)

    @property
    def call_failure_rate(self) -> float:
        """Examples that got no answer, of all examples."""
        return sum(one.failure == "call" for one in self.outcomes) / len(self.outcomes)

    @property
    def prompt_tokens(self) -> float:
        """Tokens read for the mean example."""
        return sum(one.prompt_tokens for one in self.outcomes) / len(self.outcomes)

    @property
    def completion_tokens(self) -> float:
        """Tokens written for the mean example."""
        return sum(one.completion_tokens for one in self.outcomes) / len(self.outcomes)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two of them differ in one metric: `difference` is above 0 where `better` is."""

    metric: str
    better: str
    worse: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Scores:
    """All of them, the baseline first, and each pair of them in the first metric."""

    rows: Sequence[Scored]
    comparisons: Sequence[Comparison]


def score(metrics: Sequence[Metric], rows: Sequence[Scored], *, draws: int, seed: int) -> Scores:
    """Score all rows on the same draws."""
    resampler = Resampler(len(rows[0].outcomes), draws=draws, seed=seed)
    drawn: dict[tuple[int, str], Array] = {}
    values: list[dict[str, Interval]] = [{} for _ in rows]
    for metric in metrics:
        for index, row in enumerate(rows):
            statistics = metric.statistics([one.prediction for one in row.outcomes])
            if statistics is None:
                continue
            scores = drawn[index, metric.name] = resampler.scores(metric, statistics)
            values[index][metric.name] = interval_of(metric, statistics, scores)
    scored = [_with_scores(row, found) for row, found in zip(rows, values, strict=True)]
    return Scores(scored, _comparisons(metrics[0], scored, drawn))


def _with_scores(row: Scored, scores: Mapping[str, Interval]) -> Scored:
    return Scored(row.name, row.model, row.outcomes, row.options, scores, row.usd_per_call)


def _comparisons(
    metric: Metric, rows: Sequence[Scored], drawn: Mapping[tuple[int, str], Array]
) -> list[Comparison]:
    found = []
    order = sorted(range(len(rows)), key=lambda at: (-rows[at].scores[metric.name].value, at))
    for place, first in enumerate(order):
        for second in order[place + 1 :]:
            pair = rows[first].scores[metric.name].value, rows[second].scores[metric.name].value
            scores = drawn[first, metric.name], drawn[second, metric.name]
            difference = difference_of(metric, pair, scores, len(rows[first].outcomes))
            found.append(Comparison(metric.name, rows[first].name, rows[second].name, difference))
    return found


def _usd_per_call(candidate: Candidate[Any], outcomes: Sequence[Outcome]) -> float | None:
    # A failure has no count of tokens: taken as free, it would make cheap who fails.
    counted = [one for one in outcomes if one.prompt_tokens or one.completion_tokens]
    if candidate.price is None or candidate.price.currency != "USD" or not counted:
        return None
    return fmean(_usd(candidate.price, one) for one in counted)


def _usd(price: Price, one: Outcome) -> float:
    # Each by itself: all together would reach the tier of long prompts. Tokens may be shares of a call's.
    rates = price.at(round(one.prompt_tokens))
    read_usd = one.prompt_tokens * float(rates.input_per_million)
    return (read_usd + one.completion_tokens * float(rates.output_per_million)) / 1e6
