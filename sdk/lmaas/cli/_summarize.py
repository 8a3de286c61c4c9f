"""`lmaas summarize`: a text, shorter."""

from __future__ import annotations

import argparse
from functools import partial

from lmaas.cli._task_run import add_task_options, run_task

_EPILOG = """examples:
  lmaas summarize @report.txt --sentences 3
  man ls | lmaas summarize --words 50
  lmaas summarize --file long.txt --characters 280 --json

A text longer than the model's context is summarised in pieces, and the summaries again.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "summarize",
        help="write a summary",
        description="Write a summary that is no longer than asked for.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--sentences", type=int, metavar="N", help="longest summary, in sentences")
    length.add_argument("--words", type=int, metavar="N", dest="max_words", help="the same in words")
    length.add_argument("--characters", type=int, metavar="N", help="the same in characters")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_task(
        options,
        lambda tasks, given: partial(
            tasks.summarize,
            max_sentences=options.sentences,
            max_words=options.max_words,
            max_characters=options.characters,
            **given,
        ),
        lambda result: str(result.text),
    )
