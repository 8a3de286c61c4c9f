"""`lmaas keys`: who may call, and what for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lmaas.cli._admin import (
    Subparsers,
    add_group,
    add_paging,
    add_verb,
    comma_list,
    day,
    given,
    listed,
    page_size,
    place,
    project_id,
    show,
    when,
)
from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import ApiKey, IssuedApiKey

_HEADER = ("ID", "NAME", "PROJECT", "STATE", "ENDS WITH", "MODELS", "EXPIRES", "LAST USED")
_SCOPES = ("models", "routes", "addresses", "admin")
_ROLES = ("owner", "admin", "developer", "viewer")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "keys", "issue, change, rotate and revoke keys")
    _add_create(group)
    parser = add_verb(group, "list", _list, text="list keys", examples=("lmaas keys list --project web",))
    parser.add_argument("--project", metavar="PROJECT", help="only those of this project")
    parser.add_argument("--member", metavar="MEMBER", help="only those of this member")
    add_paging(parser)
    parser = add_verb(group, "show", _show, text="show a key", examples=("lmaas keys show ID",))
    parser.add_argument("key", metavar="ID")
    _add_change(group)
    parser = add_verb(
        group,
        "rotate",
        _rotate,
        text="issue a key in the place of another, and print its secret",
        examples=("lmaas keys rotate ID --overlap 1h",),
    )
    parser.add_argument("key", metavar="ID")
    parser.add_argument(
        "--overlap",
        dest="overlap_s",
        type=_duration,
        metavar="TIME",
        help="how long the old secret stays valid: 0s, 30m, 12h, 7d (default 1d)",
    )
    parser.add_argument("--expires-in-days", type=int, metavar="N", help="when the new one ends")
    parser = add_verb(
        group, "revoke", _revoke, text="revoke a key everywhere", examples=("lmaas keys revoke ID",)
    )
    parser.add_argument("key", metavar="ID")


def _add_create(group: Subparsers[Any]) -> None:
    parser = add_verb(
        group,
        "create",
        _create,
        text="issue a key, and print its secret, which nobody can show again",
        examples=(
            "lmaas keys create laptop --project web",
            "lmaas keys create nightly --project web --models 'qwen*' --expires-in-days 30",
            "export LMAAS_API_KEY=$(lmaas keys create ci --project web)",
        ),
    )
    parser.add_argument("name", metavar="NAME", help="what people call it")
    parser.add_argument("--project", required=True, metavar="PROJECT", help="id or name of its project")
    parser.add_argument("--member", metavar="MEMBER", help="id of the member whose it is")
    parser.add_argument("--expires-in-days", type=int, metavar="N", help="when it ends")
    _add_rights(parser)


def _add_change(group: Subparsers[Any]) -> None:
    parser = add_verb(
        group,
        "change",
        _change,
        text="change what a key may",
        examples=("lmaas keys change ID --models 'qwen*,llama*'", "lmaas keys change ID --models ''"),
    )
    parser.add_argument("key", metavar="ID")
    parser.add_argument("--name", metavar="NAME")
    parser.add_argument(
        "--expires", dest="expires_at", type=day, metavar="DAY", help="when it ends, such as 2026-12-31"
    )
    _add_rights(parser)


def _add_rights(parser: argparse.ArgumentParser) -> None:
    rights = parser.add_argument_group("what it may; all, unless said")
    rights.add_argument("--models", type=comma_list, metavar="LIST", help="names or patterns of models")
    rights.add_argument("--routes", type=comma_list, metavar="LIST", help="such as /v1/chat/completions")
    rights.add_argument("--addresses", type=comma_list, metavar="LIST", help="such as 10.0.0.0/8")
    rights.add_argument("--admin", choices=_ROLES, help="its role on /admin/v1; default: none")
    rights.add_argument("--weight", type=float, metavar="X", help="its part of a queue beside others'")
    rights.add_argument("--priority", choices=("high", "normal", "low"), help="its class in a queue")


def _create(admin: Admin, options: argparse.Namespace) -> int:
    scopes: Any = given(options, *_SCOPES)
    issued = admin.keys.create(
        project=project_id(admin, options, options.project),
        name=options.name,
        scopes=scopes,
        **given(options, "member", "expires_in_days", "weight", "priority"),
        **place(options),
    )
    return _print_issued(issued, options)


def _change(admin: Admin, options: argparse.Namespace) -> int:
    changes = given(options, "name", "expires_at", "weight", "priority")
    scopes = given(options, *_SCOPES)
    if scopes:
        old = admin.keys.retrieve(options.key, **place(options)).scopes.to_dict()
        changes["scopes"] = {**old, **scopes}
    if not changes:
        raise CommandError("nothing to change; `lmaas keys change --help` lists what can be")
    return show(admin.keys.update(options.key, **changes, **place(options)), options)


def _list(admin: Admin, options: argparse.Namespace) -> int:
    filters = given(options, "member")
    if options.project is not None:
        filters["project"] = project_id(admin, options, options.project)
    page = admin.keys.list(limit=page_size(options), **filters, **place(options))
    return listed(page, options, _HEADER, _row)


def _row(key: ApiKey) -> tuple[str, ...]:
    models = ",".join(key.scopes.models) or "all"
    times = when(key.expires_at), when(key.last_used_at)
    return key.id, key.name, key.project, key.state, key.last4, models, *times


def _show(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.keys.retrieve(options.key, **place(options)), options)


def _rotate(admin: Admin, options: argparse.Namespace) -> int:
    terms = given(options, "overlap_s", "expires_in_days")
    return _print_issued(admin.keys.rotate(options.key, **terms, **place(options)), options)


def _revoke(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.keys.revoke(options.key, **place(options)), options)


def _print_issued(issued: IssuedApiKey, options: argparse.Namespace) -> int:
    """Print the secret alone, so that `$(…)` takes it; all else goes beside it."""
    if options.json:
        return show(issued, options)
    note(f"key {issued.id} ({issued.name}) of {issued.project}, valid until {when(issued.expires_at)} UTC")
    note("The secret is shown this once:")
    write(issued.secret + "\n")
    return 0


def _duration(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal():
        message = f"{text!r} is no time; write 0s, 30m, 12h or 7d"
        raise argparse.ArgumentTypeError(message)
    return int(number) * _UNITS[unit]
