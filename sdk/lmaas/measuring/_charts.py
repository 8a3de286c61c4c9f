"""What the plots show, before it is known whether they become SVG or PNG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lmaas.measuring._estimate import Distribution, Estimate
from lmaas.measuring._result import Level, Measurement


@dataclass(frozen=True, slots=True)
class Point:
    """One point; `low` and `high` are the ends of its interval on the upright axis, None without one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one line.

    Attributes:
        name: For the legend.
        points: By rising x.
        colour: Number of the colour: a platform has the same one everywhere.
        is_dashed: Whether it is the second line of its platform.
    """

    name: str
    points: tuple[Point, ...]
    colour: int
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot.

    Attributes:
        slug: For names of files.
        title: What it shows.
        x_label: The lower axis, with its unit.
        y_label: The upright axis, with its unit.
        series: Lines.
        front: The Pareto front, by rising x; () if there is none.
        is_scatter: Whether points are joined.
    """

    slug: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    front: tuple[Point, ...] = ()
    is_scatter: bool = False


def charts_of(measurements: Sequence[Measurement]) -> tuple[Chart, ...]:
    """Return the plots that the measurements have points for."""
    charts = (_ttft(measurements), _itl(measurements), _throughput(measurements), _pareto(measurements))
    return tuple(chart for chart in charts if any(series.points for series in chart.series))


def _ttft(measurements: Sequence[Measurement]) -> Chart:
    return Chart(
        slug="latency-against-load",
        title="Time to first token against load",
        x_label="calls a second, offered",
        y_label="ms (whole line: p50, dashed: p95)",
        series=_percentile_lines(measurements, lambda level: level.ttft_s),
    )


def _itl(measurements: Sequence[Measurement]) -> Chart:
    return Chart(
        slug="inter-token-latency-against-load",
        title="Inter-token latency against load",
        x_label="calls a second, offered",
        y_label="ms (whole line: p50, dashed: p95)",
        series=_percentile_lines(measurements, lambda level: level.itl_s),
    )


def _throughput(measurements: Sequence[Measurement]) -> Chart:
    return Chart(
        slug="throughput-against-concurrency",
        title="Throughput against concurrency",
        x_label="calls in flight, mean",
        y_label="output tokens a second",
        series=tuple(
            Series(one.platform, _sorted(_throughput_point(level) for level in one.levels), number)
            for number, one in enumerate(measurements)
        ),
    )


def _throughput_point(level: Level) -> Point:
    rate = level.output_tokens_per_s
    return Point(level.concurrency, rate.value, rate.low, rate.high)


def _pareto(measurements: Sequence[Measurement]) -> Chart:
    """Plot what one caller gets against what all get together: to the right and up is better."""
    series = []
    for number, one in enumerate(measurements):
        points = _sorted(
            Point(level.stream_tokens_per_s.value, level.output_tokens_per_s.value)
            for level in one.levels
            if level.stream_tokens_per_s is not None
        )
        series.append(Series(one.platform, points, number))
    return Chart(
        slug="pareto-front",
        title="Speed of one answer against throughput, with the Pareto front",
        x_label="tokens a second of one stream, median",
        y_label="output tokens a second, all calls",
        series=tuple(series),
        front=pareto_front(point for line in series for point in line.points),
        is_scatter=True,
    )


def pareto_front(points: Iterable[Point]) -> tuple[Point, ...]:
    """Return the points that no other one beats on one axis without losing on the other, by rising x."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.x, -point.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return tuple(reversed(front))


def _percentile_lines(
    measurements: Sequence[Measurement], latency: Callable[[Level], Distribution | None]
) -> tuple[Series, ...]:
    lines = []
    for number, one in enumerate(measurements):
        known = [(level.offered_per_s, found) for level in one.levels if (found := latency(level))]
        lines.append(Series(one.platform, _sorted(_ms(x, found.p50) for x, found in known), number))
        upper = _sorted(_ms(x, found.p95) for x, found in known)
        lines.append(Series(f"{one.platform} p95", upper, number, is_dashed=True))
    return tuple(lines)


_MS: Final = 1e3


def _ms(x: float, seconds: Estimate) -> Point:
    low, high = (None if end is None else end * _MS for end in (seconds.low, seconds.high))
    return Point(x, seconds.value * _MS, low, high)


def _sorted(points: Iterable[Point]) -> tuple[Point, ...]:
    return tuple(sorted(points, key=lambda point: point.x))
