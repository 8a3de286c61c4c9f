"""`lmaas projects`: what keys belong to, and what is billed together."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lmaas.cli._admin import (
    Subparsers,
    add_group,
    add_paging,
    add_verb,
    given,
    listed,
    page_size,
    place,
    project_id,
    show,
    when,
)
from lmaas.cli._errors import CommandError

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import Project

_HEADER = ("ID", "NAME", "STORES CONTENT", "CREATED", "ARCHIVED")


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "projects", "make and archive projects")
    parser = add_verb(
        group, "create", _create, text="make a project", examples=("lmaas projects create web",)
    )
    parser.add_argument("name", metavar="NAME")
    _add_storing(parser)
    parser = add_verb(group, "list", _list, text="list projects", examples=("lmaas projects list",))
    add_paging(parser)
    parser = add_verb(group, "show", _show, text="show a project", examples=("lmaas projects show web",))
    parser.add_argument("project", metavar="PROJECT", help="id or name")
    parser = add_verb(
        group,
        "change",
        _change,
        text="rename a project, or say whether its contents are stored",
        examples=("lmaas projects change web --name site",),
    )
    parser.add_argument("project", metavar="PROJECT", help="id or name")
    parser.add_argument("--name", metavar="NAME")
    _add_storing(parser)
    parser = add_verb(
        group,
        "archive",
        _archive,
        text="archive a project, so that none of its keys works any more",
        examples=("lmaas projects archive web",),
    )
    parser.add_argument("project", metavar="PROJECT", help="id or name")


def _add_storing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stores-content",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="keep prompts and answers of its calls, encrypted (default: no)",
    )


def _create(admin: Admin, options: argparse.Namespace) -> int:
    wanted = given(options, "stores_content")
    return show(admin.projects.create(name=options.name, **wanted, **place(options)), options)


def _list(admin: Admin, options: argparse.Namespace) -> int:
    page = admin.projects.list(limit=page_size(options), **place(options))
    return listed(page, options, _HEADER, _row)


def _row(project: Project) -> tuple[str, ...]:
    stores = "yes" if project.stores_content else "no"
    return project.id, project.name, stores, when(project.created_at), when(project.archived_at)


def _show(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.projects.retrieve(_id(admin, options), **place(options)), options)


def _change(admin: Admin, options: argparse.Namespace) -> int:
    changes = given(options, "name", "stores_content")
    if not changes:
        raise CommandError("nothing to change; give --name or --stores-content")
    return show(admin.projects.update(_id(admin, options), **changes, **place(options)), options)


def _archive(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.projects.archive(_id(admin, options), **place(options)), options)


def _id(admin: Admin, options: argparse.Namespace) -> str:
    return project_id(admin, options, options.project)
