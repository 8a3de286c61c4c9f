"""A report as one HTML page: nothing from elsewhere, no script, both colour schemes, any width."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from lmaas.errors import ConfigurationError
from lmaas.measuring._charts import charts_of
from lmaas.measuring._svg import drawing_of
from lmaas.measuring._tables import headline, slo_text, tables_of

if TYPE_CHECKING:
    from lmaas.measuring._record import BenchReport


def page_of(report: BenchReport) -> str:
    """Return the page. All text in it is escaped: names of models and platforms are others'.

    Raises:
        ConfigurationError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError("jinja2 is not installed; run `pip install 'lmaas[choose]'`.") from None
    template = resources.files("lmaas.measuring").joinpath("templates/report.html.j2").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    first = report.measurements[0]
    return environment.from_string(template).render(
        report=report,
        workload=first.workload,
        limits=slo_text(first.slo),
        headline=headline(report),
        drawings=[drawing_of(chart) for chart in charts_of(report.measurements)],
        tables=tables_of(report),
    )
