"""`lmaas organizations`: whose data is kept apart from all others'."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lmaas.cli._admin import Subparsers, add_group, add_paging, add_verb, listed, page_size, show, when

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import Organization

_HEADER = ("ID", "NAME", "CREATED", "ARCHIVED")


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "organizations", "make, rename, archive and erase organizations")
    parser = add_verb(
        group, "create", _create, text="make an organization", examples=("lmaas organizations create acme",)
    )
    parser.add_argument("name", metavar="NAME")
    parser = add_verb(group, "list", _list, text="list organizations", examples=("lmaas organizations list",))
    add_paging(parser)
    parser = add_verb(
        group, "show", _show, text="show an organization", examples=("lmaas organizations show ID",)
    )
    parser.add_argument("id", metavar="ID")
    parser = add_verb(
        group,
        "rename",
        _rename,
        text="rename an organization",
        examples=("lmaas organizations rename ID acme",),
    )
    parser.add_argument("id", metavar="ID")
    parser.add_argument("name", metavar="NAME")
    parser = add_verb(
        group,
        "archive",
        _archive,
        text="archive an organization, so that none of its keys works any more",
        examples=("lmaas organizations archive ID",),
    )
    parser.add_argument("id", metavar="ID")
    parser = add_verb(
        group,
        "erase",
        _erase,
        text="destroy for ever what was stored of an organization",
        examples=("lmaas organizations erase ID --confirm acme",),
    )
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--confirm", required=True, metavar="NAME", help="the organization's name")


def _create(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.organizations.create(name=options.name), options)


def _list(admin: Admin, options: argparse.Namespace) -> int:
    return listed(admin.organizations.list(limit=page_size(options)), options, _HEADER, _row)


def _row(one: Organization) -> tuple[str, ...]:
    return one.id, one.name, when(one.created_at), when(one.archived_at)


def _show(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.organizations.retrieve(options.id), options)


def _rename(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.organizations.update(options.id, name=options.name), options)


def _archive(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.organizations.archive(options.id), options)


def _erase(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.organizations.erase(options.id, confirm=options.confirm), options)
