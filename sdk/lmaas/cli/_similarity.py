"""`lmaas similarity`: how close texts are to one in meaning."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from lmaas.cli._task_run import add_task_options, run_task
from lmaas.cli._terminal import note

if TYPE_CHECKING:
    from lmaas.tasks import Similarity

_EPILOG = """examples:
  lmaas similarity "a cat" --to "a kitten" --to "the stock market"
  lmaas similarity --lines --to "delivery problems" < tickets.txt

Prints cosines from -1 to 1: one a line for each --to, or with --lines one line a text.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "similarity",
        help="compare texts by meaning",
        description="Tell how close texts are in meaning, with an embedding model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser, kind="embedding")
    parser.add_argument(
        "--to", action="append", required=True, metavar="TEXT", help="compare with this; may be repeated"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    separator = "\t" if options.lines else "\n"

    def show(result: Similarity) -> str:
        if result.truncated:
            note("only the beginning of a text was read: it is longer than the model's context")
        return separator.join(f"{score:.4f}" for score in result.scores)

    return run_task(options, lambda tasks, given: partial(tasks.similarity, others=options.to, **given), show)
