"""`lmaas members`: people and service accounts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

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
    from lmaas.types import Member

_HEADER = ("ID", "KIND", "NAME", "ROLE", "PROJECT", "CREATED", "DISABLED")
_ROLES = ("owner", "admin", "developer", "viewer")


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "members", "add, change and disable people and service accounts")
    parser = add_verb(
        group,
        "create",
        _create,
        text="add a person or a service account",
        examples=(
            "lmaas members create Ada --subject 'https://login.example.org|248289'",
            "lmaas members create nightly --kind service --role developer --project web",
        ),
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--kind", choices=("person", "service"))
    parser.add_argument(
        "--subject", metavar="ISSUER|SUB", help="how the person's token names the issuer and the person"
    )
    _add_rights(parser)
    parser = add_verb(group, "list", _list, text="list members", examples=("lmaas members list",))
    parser.add_argument("--project", metavar="PROJECT", help="only those of this project")
    add_paging(parser)
    parser = add_verb(group, "show", _show, text="show a member", examples=("lmaas members show ID",))
    parser.add_argument("member", metavar="ID")
    parser = add_verb(
        group,
        "change",
        _change,
        text="change a member's name, role or project",
        examples=("lmaas members change ID --role admin",),
    )
    parser.add_argument("member", metavar="ID")
    parser.add_argument("--name", metavar="NAME")
    _add_rights(parser)
    parser.add_argument(
        "--disabled", action=argparse.BooleanOptionalAction, default=None, help="disable, or enable again"
    )
    parser = add_verb(
        group,
        "disable",
        _disable,
        text="disable a member, with its tokens and keys",
        examples=("lmaas members disable ID",),
    )
    parser.add_argument("member", metavar="ID")


def _add_rights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--role", choices=_ROLES)
    parser.add_argument("--project", metavar="PROJECT", help="the only one that the role holds for")


def _rights(admin: Admin, options: argparse.Namespace, *names: str) -> dict[str, Any]:
    rights = given(options, *names)
    if options.project is not None:
        rights["project"] = project_id(admin, options, options.project)
    return rights


def _create(admin: Admin, options: argparse.Namespace) -> int:
    rights = _rights(admin, options, "kind", "subject", "role")
    return show(admin.members.create(name=options.name, **rights, **place(options)), options)


def _list(admin: Admin, options: argparse.Namespace) -> int:
    page = admin.members.list(limit=page_size(options), **_rights(admin, options), **place(options))
    return listed(page, options, _HEADER, _row)


def _row(member: Member) -> tuple[str, ...]:
    times = when(member.created_at), when(member.disabled_at)
    return member.id, member.kind, member.name, member.role, member.project or "all", *times


def _show(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.members.retrieve(options.member, **place(options)), options)


def _change(admin: Admin, options: argparse.Namespace) -> int:
    changes = _rights(admin, options, "name", "role", "disabled")
    if not changes:
        raise CommandError("nothing to change; give --name, --role, --project or --disabled")
    return show(admin.members.update(options.member, **changes, **place(options)), options)


def _disable(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.members.disable(options.member, **place(options)), options)
