"""`lmaas choose`: which platform and model to take, from a file or a short interview."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lmaas.cli._admin import Subparsers
from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    from lmaas.selection import Selection

_FORMATS = ("text", "json", "markdown", "html")
_ENDINGS = {".json": "json", ".md": "markdown", ".html": "html"}
_EXAMPLES = """examples:
  lmaas choose                                     asks, writes choice.yaml and answers
  lmaas choose choice.yaml
  lmaas choose choice.yaml --output report.html    or .md, .json
  lmaas choose choice.yaml --gateway-config gateway.yaml
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "choose",
        help="choose a platform and a model on evidence",
        description="Choose a platform and a model on evidence, and say why. Exits with 1 if none passes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the choice, in YAML; none: asks")
    parser.add_argument("--format", choices=_FORMATS, help="default: by --output's ending, else text")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--gateway-config", type=Path, metavar="FILE", help="write a gateway's configuration")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws (default: the file's, else 1)")
    parser.add_argument("--draws", type=int, metavar="N", help="default: the file's, else 10000")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    selection = _select(options)
    form = options.format or (_ENDINGS.get(options.output.suffix, "text") if options.output else "text")
    if options.output is None and form == "text" and sys.stdout.isatty():
        _show(selection)
    else:
        _save(_written(selection, form), options.output)
    if options.gateway_config is not None:
        _save(selection.gateway_config(), options.gateway_config)
    return 0 if selection.winner else 1


def _select(options: argparse.Namespace) -> Selection:
    from dataclasses import replace

    from lmaas.selection import Choice

    path = options.file
    if path is None:
        from lmaas.cli._interview import interview

        if not sys.stdin.isatty():
            raise CommandError("there is nobody to ask; give a file: lmaas choose choice.yaml")
        path = interview(input)
    choice = Choice.load(path)
    changes = {name: value for name in ("seed", "draws") if (value := getattr(options, name)) is not None}
    if "seed" in changes:
        changes["command"] = f"lmaas choose {path} --seed {changes['seed']}"
    return replace(choice, options=replace(choice.options, **changes)).select()


def _written(selection: Selection, form: str) -> str:
    if form == "json":
        return json.dumps(selection.to_dict(), ensure_ascii=False, indent=2) + "\n"
    return {"text": selection.to_text, "markdown": selection.to_markdown, "html": selection.to_html}[form]()


def _save(text: str, path: Path | None) -> None:
    if path is None:
        write(text)
        return
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
    note(f"wrote {path}")


def _show(selection: Selection) -> None:
    try:
        from lmaas.selection._terminal import show
    except ImportError:
        write(selection.to_text())
    else:
        show(selection)
