"""Tables: drawn for a terminal, plain columns for a pipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from typing import Final

from lmaas.cli._terminal import table, write
from lmaas.errors import ConfigurationError

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def show_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, words: Collection[int] = (0,)
) -> None:
    """Write a table to standard output; the columns named in `words` are words, the others may be numbers.

    Raises:
        ConfigurationError: rich, which draws for terminals, is not installed.
    """
    plain = [[_CONTROLS.sub("", cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        write(f"\n{title}\n{table(header, plain)}")
        return
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        raise ConfigurationError("rich is not installed; run `pip install 'lmaas[choose]'`.") from None
    drawn = Table(title=Text(title), title_justify="left")
    for number, name in enumerate(header):
        drawn.add_column(Text(name), justify="left" if number in words else "right", overflow="fold")
    for row in plain:
        drawn.add_row(*map(Text, row))  # text, not rich's own markup: names are others'
    Console().print(drawn)
