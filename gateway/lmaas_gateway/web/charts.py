"""Charts that a server can draw: bars of days, as numbers that a template makes SVG of."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 640, 150
_LEFT, _BOTTOM, _TOP = 46, 18, 8
_MAX_LABELS = 8


class Bar(NamedTuple):
    """One bar; all lengths in the units of the drawing."""

    name: str
    value: float
    x: float
    y: float
    width: float
    height: float


class Bars(NamedTuple):
    """A chart.

    Attributes:
        ticks: Heights of lines, with what they stand for.
        labels: Places of names below the bars.
    """

    bars: list[Bar]
    ticks: list[tuple[float, float]]
    labels: list[tuple[float, str]]
    highest: Bar | None


def bars(names: Sequence[str], values: Mapping[str, float]) -> Bars:
    """Draw a bar a name, in their order; without a value it has no height."""
    top = round_up(max(values.values(), default=0.0))
    step = (WIDTH - _LEFT) / max(1, len(names))
    floor_y, scale = HEIGHT - _BOTTOM, (HEIGHT - _BOTTOM - _TOP) / top
    drawn = []
    for number, name in enumerate(names):
        value = values.get(name, 0)
        height = value * scale
        x = _LEFT + number * step + step * 0.1
        drawn.append(
            Bar(name, value, round(x, 2), round(floor_y - height, 2), round(step * 0.8, 2), round(height, 2))
        )
    every = max(1, -(-len(names) // _MAX_LABELS))
    labels = [(round(bar.x + bar.width / 2, 2), bar.name[5:]) for bar in drawn[::every]]
    ticks = [(round(floor_y - part * top * scale, 2), part * top) for part in (0.5, 1.0)]
    highest = max(drawn, key=lambda bar: bar.value, default=None)
    return Bars(drawn, ticks, labels, highest if highest is not None and highest.value else None)


def round_up(value: float) -> float:
    """Give the least of 1, 2, 5 times a power of ten that is not less; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


class Stretch(NamedTuple):
    """When something was, in per cent of the whole."""

    start: float
    width: float


def stretches(times: Sequence[tuple[float | None, float | None]], whole_s: float) -> list[Stretch | None]:
    """Draw when things began and how long they took; None for what has no place.

    Args:
        times: Beginning and length, in seconds.
        whole_s: The length of all.
    """
    return [
        None
        if start_s is None or not length_s or whole_s <= 0
        else Stretch(
            round(100 * min(start_s / whole_s, 1), 2),
            # What is too short to be seen still is there.
            round(max(0.6, 100 * min(length_s, max(0.0, whole_s - start_s)) / whole_s), 2),
        )
        for start_s, length_s in times
    ]
