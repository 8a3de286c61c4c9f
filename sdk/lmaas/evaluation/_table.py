"""A report as tables of rich, for terminals and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas.evaluation._errors import needs
from lmaas.evaluation._words import cells, header, headline

if TYPE_CHECKING:
    from rich.table import Table

    from lmaas.evaluation._report import Report


def table(report: Report) -> Table:
    """Return the scores of all rows.

    Raises:
        ConfigurationError: rich is not installed.
    """
    try:
        from rich.table import Table  # noqa: PLC0415 - of an extra
        from rich.text import Text  # noqa: PLC0415 - likewise
    except ImportError:
        raise needs("rich") from None
    # Text and not str: a model's name in brackets is no markup.
    found = Table(title=Text(headline(report)), title_justify="left")
    for at, title in enumerate(header(report)):
        found.add_column(Text(title), justify="right" if at else "left")
    for row in report.rows:
        found.add_row(*map(Text, cells(report, row)), style="dim" if row.is_baseline else "")
    return found
