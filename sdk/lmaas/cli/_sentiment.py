"""`lmaas sentiment`: whether a text is positive, neutral or negative."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from lmaas.cli._task_run import add_task_options, run_task

if TYPE_CHECKING:
    from lmaas.tasks import Sentiment

_EPILOG = """examples:
  lmaas sentiment "What a lovely day!"
  lmaas sentiment --lines < reviews.txt
  lmaas sentiment --lines --json --journal reviews.jsonl < reviews.txt

Prints the label and a score from -1 to 1: the probability of positive less that of negative.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "sentiment",
        help="judge the feeling of a text",
        description="Judge whether a text is positive, neutral or negative.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser)
    parser.add_argument("--calibrate", action="store_true", help="correct for the model's liking of labels")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_task(
        options,
        lambda tasks, given: partial(tasks.sentiment, calibrate=options.calibrate, **given),
        _show,
    )


def _show(result: Sentiment) -> str:
    return f"{result.label}\t{result.score:+.3f}"
