"""Runs a task for a command: one text, or many with progress, printed for people or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lmaas.cli._connection import add_connection_options, connect
from lmaas.cli._errors import CommandError
from lmaas.cli._selection import first_of_kind
from lmaas.cli._task_input import add_input_options, texts_of
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from lmaas import LMaaS
    from lmaas.tasks import Item, Result, TaskOptions, Tasks

    Bind = Callable[[Tasks, TaskOptions], Callable[[str], Result]]
    """Makes the task of one text, a `functools.partial` so that a journal can name it."""

    Show = Callable[[Any], str]
    """Writes a result for people."""


def add_task_options(parser: argparse.ArgumentParser, *, kind: str = "chat") -> None:
    """Describe what all commands of tasks take."""
    add_input_options(parser)
    parser.add_argument("--model", help=f"which model to call (default: the server's first {kind} model)")
    if kind == "chat":
        parser.add_argument("--max-tokens", type=int, metavar="N", help="longest answer, in tokens")
        parser.add_argument("--temperature", type=float, metavar="T", help="0, the default, repeats itself")
        parser.add_argument("--language", choices=("en", "zh"), help="of the prompt (default: of the text)")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    add_connection_options(parser)
    parser.set_defaults(kind=kind)


def run_task(options: argparse.Namespace, bind: Bind, show: Show) -> int:
    """Run the task over the texts of the command line and print what came of each, in order.

    Returns:
        0, or 1 if a text of several failed.

    Raises:
        CommandError: there is no text, or the options cannot work.
        LMaaSError: the only text failed.
    """
    from lmaas.tasks import ProgressBar, TaskInputError, Tasks

    texts = texts_of(options)
    with connect(options) as client:
        model = model_of(client, options)
        tasks = Tasks(client, model=model, embedding_model=model)
        try:
            task = bind(tasks, _task_options(options))
            if not options.lines:
                _print_one(task(texts[0]), show, as_json=options.json)
                return 0
            items = tasks.map(
                task,
                texts,
                concurrency=options.concurrency,
                journal=options.journal,
                progress=ProgressBar(),
            )
        except TaskInputError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"cannot use {options.journal}: {error.strerror}") from None
    for item in items:
        _print_line(item, show, as_json=options.json)
    return 1 if any(item.error for item in items) else 0


def model_of(client: LMaaS, options: argparse.Namespace) -> str:
    """Return the model that was named, else the server's first of the command's kind."""
    named: str | None = options.model
    return named or first_of_kind(client.models.list(), options.kind)


def _task_options(options: argparse.Namespace) -> TaskOptions:
    names = ("max_tokens", "temperature", "language")
    given = {name: getattr(options, name, None) for name in names}
    chosen: Any = {name: value for name, value in given.items() if value is not None}
    return chosen  # type: ignore[no-any-return]  # the names are TaskOptions'


def _print_one(result: Result, show: Show, *, as_json: bool) -> None:
    text = json.dumps(_plain(result), ensure_ascii=False) if as_json else show(result)
    write(text.rstrip("\n") + "\n")


def _print_line(item: Item[Any], show: Show, *, as_json: bool) -> None:
    if item.error:
        note(f"lmaas: text {item.index + 1}: {item.error}")
    if as_json:
        outcome = {"error": str(item.error)} if item.error else {"result": _plain(item.result)}
        write(json.dumps({"index": item.index, "text": item.text, **outcome}, ensure_ascii=False) + "\n")
    else:
        # One line a text, whatever the model wrote, so that lines of input and output belong together.
        write("" if item.result is None else " ".join(show(item.result).split("\n")).strip())
        write("\n")


def _plain(result: object) -> object:
    from pydantic import TypeAdapter

    return TypeAdapter[object](type(result)).dump_python(result, mode="json")
