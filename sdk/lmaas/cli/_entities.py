"""`lmaas entities`: things of given types that a text names, and where."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from lmaas.cli._classify import named
from lmaas.cli._task_run import add_task_options, run_task
from lmaas.cli._terminal import note

if TYPE_CHECKING:
    from lmaas.tasks import Entities

_EPILOG = """examples:
  lmaas entities "Ada met Charles in London." --types person,city
  lmaas entities @report.txt --types person --types "ship=the name of a vessel" --json

Prints start, end, type and text of each entity; offsets count code points.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "entities",
        help="find names in a text",
        description="Find the things of some types that a text names.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser)
    parser.add_argument(
        "--types",
        action="append",
        required=True,
        metavar="A,B,…",
        help="the types; or TYPE=MEANING, given once for each",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_task(
        options, lambda tasks, given: partial(tasks.entities, types=named(options.types), **given), _show
    )


def _show(result: Entities) -> str:
    if result.dropped:
        note(f"dropped, not in the text: {', '.join(entity.text for entity in result.dropped)}")
    return "\n".join(f"{one.start}\t{one.end}\t{one.type}\t{one.text}" for one in result.entities)
