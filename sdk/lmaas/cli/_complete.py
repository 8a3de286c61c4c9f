"""`lmaas complete`: a text, continued as it is made."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from lmaas.cli._connection import connect
from lmaas.cli._task_input import texts_of
from lmaas.cli._task_run import add_task_options, model_of, run_task
from lmaas.cli._terminal import write

if TYPE_CHECKING:
    from lmaas import LMaaS
    from lmaas.types import CompletionParams

_EPILOG = """examples:
  lmaas complete "Once upon a time"
  lmaas complete @beginning.txt --max-tokens 200 --temperature 0.7
  lmaas complete --lines --json < beginnings.txt
"""
_TOKENS = 128


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "complete",
        help="continue a text",
        description="Continue a text; the words appear as they are made.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser)
    parser.add_argument(
        "--stop", action="append", metavar="TEXT", help="end where this comes; may be repeated"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if not options.json and not options.lines:
        return _stream(options)
    stop = {"stop": options.stop} if options.stop else {}
    return run_task(
        options,
        lambda tasks, given: partial(tasks.complete, **given, **stop),
        lambda result: str(result.text),
    )


def _stream(options: argparse.Namespace) -> int:
    (text,) = texts_of(options)
    with connect(options) as client:
        _write_stream(client, model_of(client, options), text, _params(options))
    write("\n")
    return 0


def _write_stream(client: LMaaS, model: str, text: str, params: CompletionParams) -> None:
    with client.completions.create(model=model, prompt=text, stream=True, **params) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                write(choice.text)


def _params(options: argparse.Namespace) -> CompletionParams:
    params: CompletionParams = {
        "max_tokens": options.max_tokens or _TOKENS,
        "temperature": options.temperature or 0.0,
    }
    if options.stop:
        params["stop"] = options.stop
    return params
