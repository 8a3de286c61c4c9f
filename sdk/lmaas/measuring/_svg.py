"""A chart as coordinates of a drawing: what the HTML page draws as SVG. Colours are the page's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from lmaas.measuring._charts import Chart, Point

WIDTH: Final = 640
HEIGHT: Final = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 48
_TICKS: Final = 5
COLOURS: Final = 8


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: where, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """A series, drawn.

    Attributes:
        path: Of the line, in SVG's words; "" where points are not joined.
        dots: Centres of the points, with what a reader is told of each.
        bars: Upright lines from the lower to the upper end of an interval: x, y of both.
    """

    name: str
    colour: int
    is_dashed: bool
    path: str
    dots: tuple[tuple[float, float, str], ...]
    bars: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart, drawn."""

    chart: Chart
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    front: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True, slots=True)
class Axis:
    """Values to places: from 0 to a round number above the largest value."""

    end: float
    start_at: float
    end_at: float

    @classmethod
    def over(cls, largest: float, start_at: float, end_at: float) -> Axis:
        """Return an axis that reaches a round number at or above `largest`."""
        step = round_step(largest / _TICKS)
        return cls(math.ceil(largest / step - 1e-9) * step or step, start_at, end_at)

    def at(self, value: float) -> float:
        """Return where a value is, to a tenth of a unit."""
        return round(self.start_at + value / self.end * (self.end_at - self.start_at), 1)

    def ticks(self) -> tuple[Tick, ...]:
        """Return round numbers from 0 to the end."""
        step = round_step(self.end / _TICKS)
        count = round(self.end / step)
        return tuple(Tick(self.at(number * step), f"{number * step:g}") for number in range(count + 1))


def round_step(about: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at or above `about`."""
    if about <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(about))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= about * (1 - 1e-9))


def drawing_of(chart: Chart) -> Drawing:
    """Draw a chart."""
    points = [point for series in chart.series for point in series.points]
    x = Axis.over(max((point.x for point in points), default=1.0), _LEFT, WIDTH - _RIGHT)
    tops = [point.y if point.high is None else max(point.y, point.high) for point in points]
    y = Axis.over(max(tops, default=1.0), HEIGHT - _BOTTOM, _TOP)
    lines = tuple(
        Line(
            name=series.name,
            colour=series.colour % COLOURS,
            is_dashed=series.is_dashed,
            path="" if chart.is_scatter else _path(series.points, x, y),
            dots=tuple((x.at(p.x), y.at(p.y), f"{series.name}: {p.x:.4g}, {p.y:.4g}") for p in series.points),
            bars=tuple(
                (x.at(p.x), y.at(p.low), y.at(p.high))
                for p in series.points
                if p.low is not None and p.high is not None
            ),
        )
        for series in chart.series
    )
    return Drawing(chart, x.ticks(), y.ticks(), lines, _path(chart.front, x, y))


def _path(points: tuple[Point, ...], x: Axis, y: Axis) -> str:
    return " ".join(
        f"{'L' if number else 'M'}{x.at(point.x)} {y.at(point.y)}" for number, point in enumerate(points)
    )
