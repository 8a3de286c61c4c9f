"""A measurement as evidence: the same names for everybody, each with its interval and its grade."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmaas.evidence import Evidence, Grade
from lmaas.measuring._estimate import Distribution, Estimate

if TYPE_CHECKING:
    from lmaas.measuring._result import Level, Measurement


def evidence_of(
    measurement: Measurement, at_per_s: float | None = None, grade: Grade = Grade.A
) -> tuple[Evidence, ...]:
    """Return the figures of one level; see `Measurement.evidence`."""
    if not measurement.levels:
        return ()
    level = level_at(measurement, measurement.expected_per_s if at_per_s is None else at_per_s)
    source = f"lmaas bench, run {measurement.run_id}, at {level.offered_per_s:g} calls/s"
    figures = [*_figures(level), *_scale(measurement)]
    return tuple(
        Evidence(
            metric=metric,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            unit=unit,
            grade=grade,
            source=source,
            as_of=measurement.started_at.date(),
            n=estimate.n or None,
        )
        for metric, unit, estimate in figures
    )


def level_at(measurement: Measurement, at_per_s: float | None) -> Level:
    """Return the level nearest to a rate; left out: the highest that the SLO allows, else the lowest."""
    if at_per_s is not None:
        return min(measurement.levels, key=lambda level: abs(level.offered_per_s - at_per_s))
    return measurement.best_sustained or min(measurement.levels, key=lambda level: level.offered_per_s)


def _figures(level: Level) -> Iterator[tuple[str, str, Estimate]]:
    for name, latency in (("ttft", level.ttft_s), ("itl", level.itl_s), ("tpot", level.tpot_s)):
        yield from _percentiles(name, latency)
    yield from _percentiles("e2e", level.e2e_s)
    if level.stream_tokens_per_s is not None:
        yield "output_tokens_per_s", "tokens/s", level.stream_tokens_per_s
    yield "error_rate", "", level.error_rate
    yield "rate_limited_rate", "", level.rate_limited_rate


def _percentiles(name: str, latency: Distribution | None) -> Iterator[tuple[str, str, Estimate]]:
    if latency is not None:
        for share in ("p50", "p95", "p99"):
            yield f"{name}_{share}_s", "s", getattr(latency, share)


def _scale(measurement: Measurement) -> Iterator[tuple[str, str, Estimate]]:
    """Yield the highest goodput that kept the SLO, and how goodput grows over the ladder."""
    best = measurement.best_sustained
    if best is not None:
        yield "goodput_per_s", "1/s", best.goodput_per_s
    slope = goodput_slope(measurement.levels)
    if slope is not None:
        yield "goodput_slope", "", slope


def goodput_slope(levels: tuple[Level, ...]) -> Estimate | None:
    """Return how much goodput the last step of the ladder brought of each call a second offered more.

    1 keeps pace, 0 is full. The interval is that of the two goodputs at their far ends.
    """
    if len(levels) < 2:
        return None
    lower, upper = sorted(levels, key=lambda level: level.offered_per_s)[-2:]
    # Random arrivals make the rate that really came another one than the rate that was meant.
    step = upper.calls / upper.duration_s - lower.calls / lower.duration_s
    if step <= 0:
        return None
    first, last = lower.goodput_per_s, upper.goodput_per_s
    value = (last.value - first.value) / step
    if None in (first.low, first.high, last.low, last.high):
        return Estimate(value, None, None, first.n + last.n)
    low, high = last.low - first.high, last.high - first.low  # type: ignore[operator]  # checked above
    return Estimate(value, min(low / step, value), max(high / step, value), first.n + last.n)
