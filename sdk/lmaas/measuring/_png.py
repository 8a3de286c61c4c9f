"""Charts as PNG, by matplotlib (`pip install 'lmaas[choose]'`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmaas.errors import ConfigurationError

if TYPE_CHECKING:
    from lmaas.measuring._charts import Chart, Series


def write_pngs(charts: Sequence[Chart], folder: Path, stem: str) -> list[Path]:
    """Write each chart beside the report; return the files.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, of half a second
    except ImportError:
        message = "matplotlib is not installed; run `pip install 'lmaas[choose]'`, or leave out --png."
        raise ConfigurationError(message) from None
    paths = []
    for chart in charts:
        figure = Figure(figsize=(8, 5), layout="constrained")
        _draw(chart, figure.subplots())
        path = folder / f"{stem}-{chart.slug}.png"
        figure.savefig(path, dpi=120)
        paths.append(path)
    return paths


def _draw(chart: Chart, axes: Any) -> None:
    for series in chart.series:
        if series.points:
            _draw_series(series, axes, is_scatter=chart.is_scatter)
    if chart.front:
        x, y = [point.x for point in chart.front], [point.y for point in chart.front]
        axes.plot(x, y, color="0.5", linestyle=":", label="Pareto front")
    axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_series(series: Series, axes: Any, *, is_scatter: bool) -> None:
    x, y = [point.x for point in series.points], [point.y for point in series.points]
    has_ends = all(point.low is not None and point.high is not None for point in series.points)
    below = [p.y - (p.y if p.low is None else p.low) for p in series.points]
    above = [(p.y if p.high is None else p.high) - p.y for p in series.points]
    axes.errorbar(
        x,
        y,
        yerr=[below, above] if has_ends else None,
        label=_plain(series.name),
        color=f"C{series.colour}",
        linestyle="none" if is_scatter else "--" if series.is_dashed else "-",
        marker="o",
        capsize=3,
    )


def _plain(name: str) -> str:
    # A dollar sign would begin a formula, and a first underscore hide the label.
    return name.replace("$", r"\$").lstrip("_")
