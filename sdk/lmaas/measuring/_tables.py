"""The figures as rows of text: the same in the terminal, in Markdown and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas.measuring._estimate import Estimate

if TYPE_CHECKING:
    from lmaas.measuring._estimate import Distribution
    from lmaas.measuring._record import BenchReport, Pairing
    from lmaas.measuring._result import Level, Measurement
    from lmaas.measuring._slo import SLO


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header; the first column is words, the others numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(report: BenchReport) -> tuple[Table, ...]:
    """Return every table of a report."""
    tables = [_summary(report.measurements)]
    tables += [_latencies(measurement) for measurement in report.measurements]
    if report.pairings:
        tables.append(_pairings(report.pairings))
    tables.append(_generator(report.measurements))
    return tuple(tables)


def headline(report: BenchReport) -> str:
    """Say in a sentence or two what the figures can be trusted for."""
    limited = [found for one in report.measurements if (found := _limited_rates(one))]
    parts = [f"The run ended early: {report.stopped}."] if report.stopped else []
    if limited:
        parts.append(
            f"The load generator, not the platform, may be the limit of {'; '.join(limited)}: the last table "
            "says why. Run it on a quiet machine, or at lower rates."
        )
    elif any(one.levels for one in report.measurements):
        parts.append("The load generator kept its times at every rate: the figures are the platforms'.")
    return " ".join(parts)


def _limited_rates(measurement: Measurement) -> str:
    rates = [f"{level.offered_per_s:g}" for level in measurement.levels if level.generator.is_limit]
    return f"{measurement.platform} at {', '.join(rates)} calls/s" if rates else ""


def slo_text(slo: SLO) -> str:
    """Say what the limits are."""
    limits = ((slo.ttft_s, "TTFT"), (slo.itl_s, "mean ITL"), (slo.e2e_s, "end-to-end"))
    told = [f"{name} up to {limit * 1e3:g} ms" for limit, name in limits if limit is not None]
    return f"{', '.join(told)}, for {slo.percentile:.0%} of the calls" if told else "no limits"


def _summary(measurements: Sequence[Measurement]) -> Table:
    rows = []
    for one in measurements:
        for level in one.levels:
            sustained = "yes" if level.keeps(one.slo) else "no"
            rows.append(
                (
                    f"{one.platform} {one.model}",
                    f"{level.offered_per_s:g}",
                    f"{level.answered_per_s:.2f}",
                    _rate(level.goodput_per_s),
                    sustained,
                    _ms(level.ttft_s, "p50"),
                    _ms(level.ttft_s, "p95"),
                    _ms(level.itl_s, "p50"),
                    _ms(level.e2e_s, "p95"),
                    _rate(level.output_tokens_per_s),
                    _share(level.error_rate),
                    _share(level.rate_limited_rate),
                )
            )
    header = (
        "platform, model",
        "offered/s",
        "answered/s",
        "goodput/s",
        "SLO kept",
        "TTFT p50 ms",
        "TTFT p95 ms",
        "ITL p50 ms",
        "e2e p95 ms",
        "output tok/s",
        "errors",
        "429",
    )
    return Table("Loads (value, 95 % interval)", header, tuple(rows))


def _latencies(measurement: Measurement) -> Table:
    rows = []
    for level in measurement.levels:
        kinds = (("TTFT", level.ttft_s), ("ITL", level.itl_s), ("TPOT", level.tpot_s), ("e2e", level.e2e_s))
        rows += [(f"{level.offered_per_s:g}/s {name}", *_all(latency)) for name, latency in kinds]
    title = f"Latencies of {measurement.platform} {measurement.model}, ms"
    return Table(title, ("load", "mean", "p50", "p90", "p95", "p99"), tuple(rows))


def _all(latency: Distribution | None) -> tuple[str, ...]:
    return tuple(_ms(latency, name) for name in ("mean", "p50", "p90", "p95", "p99"))


def _pairings(pairings: Sequence[Pairing]) -> Table:
    rows = tuple(
        (
            f"{one.platform} less {one.other}",
            f"{one.calls_per_s:g}",
            *(
                _interval(one.differences[what], 1e3) if what in one.differences else "-"
                for what in ("ttft_s", "tpot_s", "e2e_s")
            ),
        )
        for one in pairings
    )
    header = ("the same prompts", "offered/s", "TTFT ms", "TPOT ms", "e2e ms")
    return Table("Differences, call by call (median, 95 % interval)", header, rows)


def _generator(measurements: Sequence[Measurement]) -> Table:
    rows = tuple(_generator_row(one, level) for one in measurements for level in one.levels)
    header = (
        "platform",
        "offered/s",
        "calls",
        "prompt tokens",
        "cached",
        "output tokens",
        "in flight",
        "late p99 ms",
        "loop lag p99 ms",
        "CPU",
        "usd",
        "generator",
    )
    return Table("What was sent, and how the generator fared", header, rows)


def _generator_row(one: Measurement, level: Level) -> tuple[str, ...]:
    health = level.generator
    return (
        one.platform,
        f"{level.offered_per_s:g}",
        str(level.calls),
        _mean(level.prompt_tokens_mean),
        "-" if level.cached_share is None else f"{level.cached_share:.0%}",
        _mean(level.output_tokens_mean),
        f"{level.concurrency:.1f}",
        f"{health.late_p99_s * 1e3:.1f}",
        f"{health.loop_lag_p99_s * 1e3:.1f}",
        f"{health.cpu_share:.0%}",
        "-" if level.usd is None else f"{level.usd:.4g}",
        "; ".join(health.limits) or "no limit",
    )


def _ms(latency: Distribution | None, name: str) -> str:
    return "-" if latency is None else _interval(getattr(latency, name), 1e3)


def _interval(estimate: Estimate, scale: float) -> str:
    value = (
        f"{estimate.value * scale:.3g}"
        if abs(estimate.value * scale) < 100
        else f"{estimate.value * scale:.0f}"
    )
    if estimate.low is None or estimate.high is None:
        return value
    ends = [end * scale for end in (estimate.low, estimate.high)]
    low, high = (f"{end:.3g}" if abs(end) < 100 else f"{end:.0f}" for end in ends)
    return f"{value} ({low} to {high})"


def _rate(estimate: Estimate) -> str:
    return _interval(estimate, 1)


def _share(estimate: Estimate) -> str:
    if not estimate.n:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
