"""`lmaas evaluate`: how good models are at a task, on your own examples or the bundled ones."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmaas.cli._classify import named
from lmaas.cli._connection import add_connection_options, connect
from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    from lmaas import LMaaS, Price
    from lmaas.evaluation import Candidate, Dataset, Report

_TASKS = (
    "classification",
    "sentiment",
    "entities",
    "semantic_roles",
    "summarization",
    "translation",
    "retrieval",
    "completion",
)
_EPILOG = """examples:
  lmaas evaluate sentiment --data reviews.jsonl --model small --model large
  lmaas evaluate entities --data news.jsonl --model small --labels person --labels "ship=name of a vessel"
  lmaas evaluate translation --bundled en-zh --model small --markdown > report.md
  lmaas evaluate classification --data t.jsonl --model small --price small=0.10,0.40 --outcomes answers.jsonl

Each line of FILE is one example as JSON; docs/evaluating.md has the fields of each task. A baseline without a
model is always among the rows, and an answer that fails is a wrong answer.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure how good models are at a task",
        description="Measure how good models are at a task, with intervals and a baseline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=_TASKS, metavar="TASK", help=", ".join(_TASKS))
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, metavar="FILE", help="your examples, one a line as JSON")
    data.add_argument(
        "--bundled", metavar="LANGUAGE", help="the bundled synthetic ones: en, zh, en-zh or zh-en"
    )
    parser.add_argument(
        "--model", dest="models", action="append", required=True, metavar="NAME", help="may be given again"
    )
    parser.add_argument(
        "--labels",
        action="append",
        metavar="A,B,…",
        help="labels, types or roles; or NAME=MEANING, once for each",
    )
    _add_ways(parser)
    add_connection_options(parser)
    parser.set_defaults(run=_run)


def _add_ways(parser: argparse.ArgumentParser) -> None:
    asking = parser.add_argument_group("how models are asked")
    asking.add_argument("--max-tokens", type=int, metavar="N", help="longest answer, in tokens")
    asking.add_argument(
        "--calibrate", action="store_true", help="divide out what a model says without a text"
    )
    asking.add_argument(
        "--fast", action="store_true", help="classification: pick a label, without probabilities"
    )
    asking.add_argument("--concurrency", type=int, default=8, metavar="N", help="calls at once (default 8)")
    asking.add_argument(
        "--price",
        dest="prices",
        action="append",
        default=[],
        metavar="MODEL=IN,OUT",
        help="USD for a million tokens of input and of output",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print the report as JSON")
    output.add_argument("--markdown", action="store_true", help="print the report as Markdown")
    output.add_argument("--outcomes", type=Path, metavar="FILE", help="write every answer there, one a line")
    output.add_argument(
        "--draws", type=int, default=2000, metavar="N", help="of the bootstrap (default 2000)"
    )
    output.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default 0)")


def _run(options: argparse.Namespace) -> int:
    from lmaas.evaluation import EvaluationError, evaluate

    try:
        dataset = _dataset(options)
        with connect(options) as client:
            report = evaluate(
                options.task,
                dataset,
                _candidates(options),
                client=client,
                concurrency=options.concurrency,
                draws=options.draws,
                seed=options.seed,
                progress=True,
            )
        _write_outcomes(report, options.outcomes)
        _show(report, options)
    except EvaluationError as error:
        raise CommandError(str(error)) from None
    return 1 if any(row.call_failure_rate == 1 for row in report.candidates) else 0


def _dataset(options: argparse.Namespace) -> Dataset:
    from lmaas.evaluation import Dataset

    if options.bundled is not None:
        if options.labels:
            raise CommandError("--labels go with --data; the bundled examples have their own")
        return Dataset.bundled(options.task, options.bundled)
    return Dataset.load(options.task, options.data, names=named(options.labels) if options.labels else None)


def _candidates(options: argparse.Namespace) -> list[Candidate[LMaaS]]:
    from lmaas.evaluation import Candidate

    ways: dict[str, Any] = {}
    if options.max_tokens is not None:
        ways["max_tokens"] = options.max_tokens
    if options.calibrate:
        ways["calibrate"] = True
    if options.fast:
        ways["method"] = "choice"
    prices = dict(map(_price, options.prices))
    if unknown := sorted(prices.keys() - set(options.models)):
        raise CommandError(f"--price names {unknown[0]!r}, which is no --model")
    return [Candidate(model, options=ways, price=prices.get(model)) for model in options.models]


def _price(text: str) -> tuple[str, Price]:
    from lmaas import Price

    model, _, numbers = text.rpartition("=")
    try:
        first, second = map(Decimal, numbers.split(","))
    except (ValueError, InvalidOperation):
        raise CommandError(f"--price {text!r} is not understood; give MODEL=0.10,0.40") from None
    return model, Price(first, second, "command line", date.today())


def _write_outcomes(report: Report, path: Path | None) -> None:
    if path is None:
        return
    try:
        report.write_outcomes(path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None


def _show(report: Report, options: argparse.Namespace) -> None:
    if options.json:
        write(report.to_json() + "\n")
    elif options.markdown:
        write(report.to_markdown())
    else:
        _show_table(report)


def _show_table(report: Report) -> None:
    table = report.to_table()
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for line in report.differences:
        write(f"{line}\n")
    for caution in report.cautions:
        note(f"! {caution}")
