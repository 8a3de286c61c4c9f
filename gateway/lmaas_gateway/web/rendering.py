"""From templates to HTML. What a template is given is text: it becomes markup nowhere."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from math import floor, log10
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

from lmaas_gateway.web import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment
    from starlette.responses import Response

    from lmaas_gateway.web.assets import Assets


class Templates:
    """The templates of the package's folder `templates`.

    Args:
        assets: Named by templates as `asset("app.js")`.
    """

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def render(self, name: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """Make a page."""
        return HTMLResponse(self.write(name, values), status)

    def write(self, name: str, values: Mapping[str, Any]) -> str:
        """Make a part of one."""
        template = _environment().get_template(name)
        return template.render(asset=self._assets.url, languages=words.NAMES, tags=words.TAGS, **values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """Make what compiles templates; a gateway whose pages nobody looks at need not load it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - see above

    environment = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "number": show_number,
        "usd": show_usd,
        "seconds": show_seconds,
        "moment": show_moment,
        "day": show_day,
        "short": show_short,
        "percent": show_percent,
        "rate": show_rate,
        "size": show_size,
    }
    return environment


_NOTHING = "\N{EN DASH}"


def show_number(value: float | None) -> str:
    """Write a count with thousands apart: 12,345."""
    return _NOTHING if value is None else f"{value:,.0f}"


def show_rate(value: float) -> str:
    """Write so many a second: 0, 0.35, 12.4, 1,234."""
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def show_usd(nanos: int | None) -> str:
    """Write billionths of a US dollar so that small sums are not lost: $12.30, $0.0042."""
    if nanos is None:
        return _NOTHING
    dollars = nanos / 1e9
    if dollars == 0 or abs(dollars) >= 0.995:
        return f"${dollars:,.2f}"
    # Three digits that count, and no exponent.
    decimals = 2 - floor(log10(abs(dollars)))
    return f"${dollars:.{min(decimals, 9)}f}"


def show_seconds(value_s: float | None) -> str:
    """Write a time that something takes, in the unit that it is read in: 840 µs, 23 ms, 1.25 s, 3 min."""
    if value_s is None:
        return _NOTHING
    if value_s < 1e-3:
        return f"{value_s * 1e6:.0f} µs"
    if value_s < 1:
        return f"{value_s * 1e3:.0f} ms"
    return f"{value_s:.2f} s" if value_s < 120 else f"{value_s / 60:.0f} min"


def show_moment(at_s: float | None) -> str:
    """Write a time in UTC, to the second."""
    return _NOTHING if at_s is None else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"


def show_day(at_s: float | None) -> str:
    """Write a day in UTC."""
    return _NOTHING if at_s is None else f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"


def show_short(value: float) -> str:
    """Write a number in a few digits: 950, 12.3k, 4.56M."""
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    return f"{value:,.0f}" if value == int(value) else f"{value:.2g}"


def show_size(value_bytes: float) -> str:
    """Write how much memory: 512 MiB, 1.25 GiB."""
    gib = value_bytes / 2**30
    return f"{gib:.3g} GiB" if gib >= 1 else f"{value_bytes / 2**20:.0f} MiB"


def show_percent(part: float | None) -> str:
    """Write a part of one: 0.4 %."""
    if part is None:
        return _NOTHING
    return f"{part * 100:.0f} %" if part in {0, 1} or part >= 0.1 else f"{part * 100:.2g} %"
