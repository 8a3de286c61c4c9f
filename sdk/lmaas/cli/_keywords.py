"""`lmaas keywords`: the words that a text is about."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from lmaas.cli._task_run import add_task_options, run_task

if TYPE_CHECKING:
    from lmaas.tasks import Keywords

_EPILOG = """examples:
  lmaas keywords @article.txt
  lmaas keywords @article.txt -k 10 --json

Each keyword stands in the text; the most important comes first.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "keywords",
        help="find the keywords of a text",
        description="Find the words and phrases that a text is about.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser)
    parser.add_argument("-k", "--top-k", type=int, default=5, metavar="N", help="most keywords (default 5)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    separator = ", " if options.lines else "\n"

    def show(result: Keywords) -> str:
        return separator.join(keyword.text for keyword in result.keywords)

    return run_task(options, lambda tasks, given: partial(tasks.keywords, top_k=options.top_k, **given), show)
