"""`lmaas embed`: texts as vectors."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from lmaas.cli._connection import add_connection_options, connect
from lmaas.cli._errors import CommandError
from lmaas.cli._selection import first_of_kind
from lmaas.cli._terminal import note, read_input, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmaas import LMaaS

_BATCH = 64
"""Texts in one call: enough to be fast, few enough that the first lines come soon."""

_SHOWN_NUMBERS = 4
_SHOWN_CHARACTERS = 40
_EPILOG = """examples:
  lmaas embed "good morning"
  lmaas embed all-minilm-l6-v2 "good morning" "good night"
  lmaas embed --jsonl < sentences.txt > vectors.jsonl

The first word is the model if a served model has that name; else it is a text, and the first
embedding model of the server is called. Without a text, each line of standard input is one.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "embed",
        help="turn texts into vectors",
        usage="lmaas embed [options] [MODEL] [TEXT ...]",
        description="Turn texts into vectors with an embedding model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="*", metavar="TEXT", help="what to embed; may begin with a model's name"
    )
    parser.add_argument("--model", help="which model to call; every TEXT is a text then")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--jsonl", action="store_true", help="print one JSON object a text, its vector whole")
    form.add_argument("--json", action="store_true", help="print the server's whole response")
    add_connection_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    with connect(options) as client:
        model, texts = _model_and_texts(client, options)
        if not texts:
            raise CommandError("there is nothing to embed; give a text, or lines on standard input")
        if options.json:
            reply = client.embeddings.create(model=model, input=texts)
            write(reply.model_dump_json(exclude_unset=True) + "\n")
            return 0
        for index, (text, vector) in enumerate(_vectors(client, model, texts)):
            write(_json_line(index, text, vector) if options.jsonl else _short_line(text, vector))
    return 0


def _model_and_texts(client: LMaaS, options: argparse.Namespace) -> tuple[str, list[str]]:
    words: list[str] = options.words
    if options.model:
        return options.model, words or _lines()
    models = client.models.list()
    if words and words[0] in {model.id for model in models}:
        return words[0], words[1:] or _lines()
    model = first_of_kind(models, "embedding")
    return model, words or _lines()


def _lines() -> list[str]:
    if sys.stdin.isatty():
        note("Type one text a line; Ctrl-D ends them.")
    return [line for line in read_input().splitlines() if line.strip()]


def _vectors(client: LMaaS, model: str, texts: Sequence[str]) -> Iterator[tuple[str, Sequence[float]]]:
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        reply = client.embeddings.create(model=model, input=batch)
        for text, item in zip(batch, reply.data, strict=True):
            yield text, item.embedding


def _json_line(index: int, text: str, vector: Sequence[float]) -> str:
    return json.dumps({"index": index, "text": text, "embedding": vector}, ensure_ascii=False) + "\n"


def _short_line(text: str, vector: Sequence[float]) -> str:
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    numbers = " ".join(f"{number:+.4f}" for number in vector[:_SHOWN_NUMBERS])
    more = " …" if len(vector) > _SHOWN_NUMBERS else ""
    return f"{shown:{_SHOWN_CHARACTERS}}  {len(vector)} dimensions  {numbers}{more}\n"
