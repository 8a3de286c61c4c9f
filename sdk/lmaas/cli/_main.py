"""`lmaas`: parse the command line, run the command, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lmaas.cli import _serve
from lmaas.errors import LMaaSError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (_serve,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 1 the service refused or failed, 2 the command cannot work as given, 130 interrupted.
    """
    parser = argparse.ArgumentParser(prog="lmaas", description="Large models as a service.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except LMaaSError as error:
        print(f"lmaas: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
