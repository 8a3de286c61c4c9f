"""`lmaas audit`: what was changed, by whom, and whether anybody touched that."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lmaas.cli._admin import (
    Subparsers,
    add_group,
    add_paging,
    add_verb,
    day,
    given,
    listed,
    page_size,
    place,
    when,
)
from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lmaas.resources import Admin
    from lmaas.types import AuditEntry

_HEADER = ("ID", "AT", "ACTOR", "ACTION", "OBJECT", "DETAIL")
_FILTERS = ("start", "end", "action", "actor")


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "audit", "read, export and verify the audit trail")
    parser = add_verb(
        group,
        "list",
        _list,
        text="list what was done, oldest first",
        examples=("lmaas audit list --action keys.revoke", "lmaas audit list --since 2026-11-01"),
    )
    _add_filters(parser)
    add_paging(parser)
    parser = add_verb(
        group,
        "export",
        _export,
        text="write all entries as JSON lines",
        examples=("lmaas audit export --output audit.jsonl",),
    )
    _add_filters(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    add_verb(
        group,
        "verify",
        _verify,
        text="check that nobody has edited, removed or moved an entry",
        examples=("lmaas audit verify",),
    )


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", dest="start", type=day, metavar="DAY", help="from this day on")
    parser.add_argument(
        "--until", dest="end", type=day, metavar="DAY", help="until the beginning of this day"
    )
    parser.add_argument("--action", metavar="NAME", help="only this action, such as keys.revoke")
    parser.add_argument("--actor", metavar="ID", help="only what this actor did")


def _list(admin: Admin, options: argparse.Namespace) -> int:
    page = admin.audit.list(limit=page_size(options), **given(options, *_FILTERS), **place(options))
    return listed(page, options, _HEADER, _row)


def _row(entry: AuditEntry) -> tuple[str, ...]:
    detail = json.dumps(entry.detail, ensure_ascii=False) if entry.detail else "-"
    return entry.id, when(entry.at), entry.actor, entry.action, entry.object_id, detail


def _export(admin: Admin, options: argparse.Namespace) -> int:
    count = 0
    with _opened(options.output) as file:
        for entry in admin.audit.list(limit=100, **given(options, *_FILTERS), **place(options)):
            line = entry.to_json(indent=None) + "\n"
            if file is None:
                write(line)
            else:
                file.write(line)
            count += 1
    if options.output is not None:
        note(f"wrote {count} entries to {options.output}")
    return 0


def _opened(path: Path | None) -> AbstractContextManager[IO[str] | None]:
    if path is None:
        return nullcontext()
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise CommandError(message) from None


def _verify(admin: Admin, options: argparse.Namespace) -> int:
    verdict = admin.audit.verify()
    if options.json:
        write(verdict.to_json() + "\n")
    elif verdict.is_intact:
        write(f"intact: {verdict.rows} entries, {verdict.checkpoints} checkpoints\n")
    else:
        write(f"NOT intact: {verdict.problem}\n")
    return 0 if verdict.is_intact else 1
