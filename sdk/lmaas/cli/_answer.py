"""`lmaas answer`: a question answered from a text."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from lmaas.cli._task_run import add_task_options, run_task
from lmaas.cli._terminal import note

if TYPE_CHECKING:
    from lmaas.tasks import Answer

_EPILOG = """examples:
  lmaas answer -q "When was it built?" @tower.txt
  cat tower.txt | lmaas answer -q "How high is it?" --json

The sentence that the answer is based on goes to standard error; it stands in the text. If the text has no
answer, nothing is printed but that.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "answer",
        help="answer a question from a text",
        description="Answer a question from a text alone.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser)
    parser.add_argument("-q", "--question", required=True, metavar="TEXT", help="what is asked")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_task(
        options, lambda tasks, given: partial(tasks.answer, question=options.question, **given), _show
    )


def _show(result: Answer) -> str:
    if result.quote is not None:
        note(f"> {result.quote.text}")
    elif result.answer is None:
        note("The text does not say.")
    else:
        note("The quote of this answer is not in the text: do not trust it.")
    return result.answer or ""
