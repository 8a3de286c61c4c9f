"""`lmaas contents`: stored prompts and answers; each reading stands in the audit trail."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lmaas.cli._admin import (
    Subparsers,
    add_group,
    add_paging,
    add_verb,
    listed,
    page_size,
    place,
    project_id,
    when,
)
from lmaas.cli._terminal import write

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import StoredContent

_HEADER = ("ID", "PROJECT", "AT")


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "contents", "list and read stored prompts and answers")
    parser = add_verb(
        group, "list", _list, text="list calls with contents", examples=("lmaas contents list --project web",)
    )
    parser.add_argument("--project", metavar="PROJECT", help="only of this project, by id or name")
    add_paging(parser)
    parser = add_verb(
        group,
        "show",
        _show,
        text="read what was asked and answered, as JSON",
        examples=("lmaas contents show ID",),
    )
    parser.add_argument("content", metavar="ID")


def _list(admin: Admin, options: argparse.Namespace) -> int:
    filters: dict[str, Any] = {}
    if options.project is not None:
        filters["project"] = project_id(admin, options, options.project)
    page = admin.contents.list(limit=page_size(options), **filters, **place(options))
    return listed(page, options, _HEADER, _row)


def _row(content: StoredContent) -> tuple[str, ...]:
    return content.id, content.project, when(content.at)


def _show(admin: Admin, options: argparse.Namespace) -> int:
    write(admin.contents.retrieve(options.content, **place(options)).to_json() + "\n")
    return 0
