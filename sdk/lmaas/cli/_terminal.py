"""What a command says to the person, or the program, that called it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lmaas._shown import without_controls
from lmaas.cli._errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence


def write(text: str) -> None:
    """Write what was asked for to standard output, at once.

    A terminal does not get control characters: the text is a model's or a server's, and may mean harm.
    """
    sys.stdout.write(without_controls(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a line that is not the result, such as progress, to standard error."""
    print(without_controls(text), file=sys.stderr, flush=True)


def read_input() -> str:
    """Read all of standard input.

    Raises:
        CommandError: it is not text.
    """
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise CommandError(f"standard input is not {error.encoding}: {error.reason}") from None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write rows under a header, each column as wide as its longest cell."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    return "".join(f"{line.rstrip()}\n" for line in padded)
