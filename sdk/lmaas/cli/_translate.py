"""`lmaas translate`: a text in another language."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from lmaas.cli._errors import CommandError
from lmaas.cli._task_input import read_file
from lmaas.cli._task_run import add_task_options, run_task
from lmaas.cli._terminal import note

if TYPE_CHECKING:
    from lmaas.tasks import Translation

_EPILOG = """examples:
  lmaas translate "Good morning." --to French
  lmaas translate @letter.txt --to zh --term gateway=网关
  lmaas translate --lines --to en --glossary terms.txt < lines.txt

A glossary file has SOURCE=TARGET in each line. Words of it that a translation lacks are told.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "translate",
        help="translate a text",
        description="Translate a text, piece by piece and in order.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_task_options(parser)
    parser.add_argument("--to", required=True, metavar="LANGUAGE", help="en, zh, or a name such as French")
    parser.add_argument("--term", action="append", default=[], metavar="SOURCE=TARGET", help="a fixed word")
    parser.add_argument("--glossary", metavar="FILE", help="a file of fixed words")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    glossary = _glossary(options)
    return run_task(
        options,
        lambda tasks, given: partial(tasks.translate, target=options.to, glossary=glossary, **given),
        _show,
    )


def _glossary(options: argparse.Namespace) -> dict[str, str]:
    lines = [*options.term, *(read_file(options.glossary).splitlines() if options.glossary else [])]
    pairs: dict[str, str] = {}
    for line in filter(str.strip, lines):
        source, _, target = (part.strip() for part in line.partition("="))
        if not source or not target:
            raise CommandError(f"{line.strip()!r} is no term; write SOURCE=TARGET")
        pairs[source] = target
    return pairs


def _show(result: Translation) -> str:
    if result.missing:
        note(f"the translation lacks: {', '.join(result.missing)}")
    return result.text
