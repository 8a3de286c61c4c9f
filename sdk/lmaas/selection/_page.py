"""The report as one HTML page, without anything from elsewhere: good on a wide screen and on a phone."""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

from lmaas.errors import ConfigurationError
from lmaas.selection._report import month_of, opening_of, sections_of

if TYPE_CHECKING:
    from lmaas.selection._selection import Option, Selection


def page_of(selection: Selection) -> str:
    """Return the page. Everything in it is escaped: names and sources are others' text."""
    try:
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError("jinja2 is not installed; run: pip install 'lmaas[choose]'") from None
    template = resources.files("lmaas.selection").joinpath("templates/report.html.j2").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    sections = sections_of(selection)
    return environment.from_string(template).render(
        opening=opening_of(selection),
        options=[_card(option, selection) for option in selection.options],
        swings=_bars(selection),
        sections=[section for section in sections if section.title != "Options"],
    )


def frame_of(selection: Selection) -> str:
    """Return the page in a frame, for notebooks: its style does not leak, and it may run no script."""
    page = escape(page_of(selection), quote=True)
    return (
        f'<iframe srcdoc="{page}" sandbox title="lmaas choose" loading="lazy" '
        'style="width:100%;height:40rem;border:0"></iframe>'
    )


def _card(option: Option, selection: Selection) -> dict[str, Any]:
    return {
        "name": option.name,
        "place": option.place,
        "is_answer": option.passes and option.name in selection.answer.names,
        "why_not": option.why_not,
        "first": option.first,
        "score": option.score,
        "scores": [(explained.score.value, explained.value) for explained in option.scores],
        "month": month_of(option),
    }


def _bars(selection: Selection) -> list[dict[str, Any]]:
    """Return the tornado as places in percent, the tie at the same place in each bar."""
    swings = selection.swings[:6]
    if not swings:
        return []
    low, high = min(0.0, *(s.low for s in swings)), max(0.0, *(s.high for s in swings))
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(100 * (value - low) / span, 2)

    return [
        {
            "label": swing.label,
            "start": place(swing.low),
            "width": max(round(place(swing.high) - place(swing.low), 2), 0.5),
            "tie": place(0.0),
            "text": f"{swing.low:+.3f} to {swing.high:+.3f}",
        }
        for swing in swings
    ]
