"""Where a task's texts come from: the command line, files, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, read_input

if TYPE_CHECKING:
    import argparse


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Describe `TEXT`, `--file` and `--lines`."""
    parser.add_argument("words", nargs="*", metavar="TEXT", help="the text; @FILE reads a file")
    parser.add_argument(
        "--file",
        dest="files",
        action="append",
        default=[],
        metavar="FILE",
        help="read the text from a file, - for standard input; may be given again",
    )
    group = parser.add_argument_group("many texts")
    group.add_argument("--lines", action="store_true", help="each line is a text of its own")
    group.add_argument(
        "--concurrency", type=int, default=8, metavar="N", help="texts under way at once (default 8)"
    )
    group.add_argument(
        "--journal", type=Path, metavar="FILE", help="keep results here, and go on there when run again"
    )


def texts_of(options: argparse.Namespace) -> list[str]:
    """Return the texts to work on: one, or one a line with `--lines`.

    Raises:
        CommandError: there is none, or a file cannot be read.
    """
    text = "\n".join([*map(_word, options.words), *map(read_file, options.files)])
    if not options.words and not options.files:
        if sys.stdin.isatty():
            note("Type the text; Ctrl-D ends it.")
        text = read_input()
    texts = [line.strip() for line in text.splitlines()] if options.lines else [text.strip()]
    texts = [text for text in texts if text]
    if not texts:
        raise CommandError("there is no text; give one, @FILE, --file FILE or standard input")
    return texts


def _word(word: str) -> str:
    return read_file(word[1:]) if word.startswith("@") and len(word) > 1 else word


def read_file(name: str) -> str:
    """Return the text of a file, without the line end at its end; "-" is standard input.

    Raises:
        CommandError: it cannot be read, or is not UTF-8.
    """
    if name == "-":
        return read_input().rstrip("\n")
    try:
        return Path(name).read_text("utf-8").rstrip("\n")
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not UTF-8 text") from None
    except OSError as error:
        raise CommandError(f"cannot read {name}: {error.strerror}") from None
