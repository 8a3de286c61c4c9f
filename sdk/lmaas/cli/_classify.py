"""`lmaas classify`: which of some labels fits a text."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from lmaas.cli._task_run import add_task_options, run_task

if TYPE_CHECKING:
    from lmaas.tasks import Classification

_EPILOG = """examples:
  lmaas classify "The match ended 2:1." --labels sports,politics,cooking
  lmaas classify --lines --labels bug,question,praise < tickets.txt > labels.txt
  lmaas classify @letter.txt --labels "complaint=the writer is not content" --labels "order" --json

Probabilities come from the log-probabilities of the labels; --calibrate divides out what the model would say
without any text, --fast has the engine pick a label in one call, without probabilities.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "classify",
        help="find the label that fits a text",
        description="Find the label that fits a text best.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser)
    parser.add_argument(
        "--labels",
        action="append",
        required=True,
        metavar="A,B,…",
        help="the labels; or LABEL=MEANING, given once for each",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--calibrate", action="store_true", help="correct for the model's liking of labels")
    how.add_argument("--fast", action="store_true", help="pick a label in one call, without probabilities")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_task(
        options,
        lambda tasks, given: partial(
            tasks.classify,
            labels=named(options.labels),
            calibrate=options.calibrate,
            method="choice" if options.fast else "score",
            **given,
        ),
        show,
    )


def named(values: list[str]) -> dict[str, str] | list[str]:
    """Read "a,b" and "a=meaning", given once or more; with one meaning, all names are keys."""
    meanings: dict[str, str] = {}
    for value in values:
        name, equals, meaning = value.partition("=")
        if equals:
            meanings[name.strip()] = meaning.strip()
        else:
            meanings |= dict.fromkeys((part.strip() for part in value.split(",")), "")
    return meanings if any(meanings.values()) else list(meanings)


def show(result: Classification) -> str:
    """Write the label, and how probable it is."""
    if result.probabilities is None:
        return result.label
    return f"{result.label}\t{result.probabilities[result.label]:.3f}"
