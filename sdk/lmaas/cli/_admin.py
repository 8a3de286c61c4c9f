"""What the commands of administrators have in common: whom they call, and how they show it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from lmaas import NOT_GIVEN, LMaaS
from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, table, write

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import WireModel

Run = Callable[["Admin", argparse.Namespace], int]
Subparsers = argparse._SubParsersAction  # noqa: SLF001 - the type has no public name

_ENVIRONMENT = """
LMAAS_BASE_URL says which gateway, or admin listener, is called, and LMAAS_ADMIN_KEY with which key.
"""


def add_group(subparsers: Subparsers[argparse.ArgumentParser], name: str, text: str) -> Subparsers[Any]:
    """Describe a noun, such as `keys`; return what takes its verbs."""
    parser = subparsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    return parser.add_subparsers(required=True, metavar="COMMAND")


def add_verb(
    group: Subparsers[Any], name: str, run: Run, *, text: str, examples: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """Describe one command of a noun, with the options that all have."""
    shown = "".join(f"  {line}\n" for line in examples)
    parser: argparse.ArgumentParser = group.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=(f"examples:\n{shown}" if shown else "") + _ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    server = parser.add_argument_group("server")
    server.add_argument(
        "--base-url",
        metavar="URL",
        help="where the gateway is (default: LMAAS_BASE_URL, else http://127.0.0.1:8000/v1)",
    )
    server.add_argument(
        "--admin-key",
        metavar="KEY",
        help="key to send (default: LMAAS_ADMIN_KEY, which other users of this machine cannot see)",
    )
    server.add_argument("--organization", metavar="ORG", help="for operators: the organization that is meant")
    parser.set_defaults(run=lambda options: call(run, options))
    return parser


def add_paging(parser: argparse.ArgumentParser) -> None:
    """Describe `--limit` of a listing."""
    parser.add_argument(
        "--limit", type=_positive, default=100, metavar="N", help="rows to show at most (default 100)"
    )


def page_size(options: argparse.Namespace) -> int:
    """Return how many rows to ask for at once: one more than are shown tells whether there are more."""
    shown: int = options.limit
    return min(shown + 1, 100)


def call(run: Run, options: argparse.Namespace) -> int:
    """Run a command with a client of the admin API.

    Raises:
        CommandError: no key was given.
    """
    key = options.admin_key or os.environ.get("LMAAS_ADMIN_KEY")
    if not key:
        raise CommandError("no admin key: set LMAAS_ADMIN_KEY; `lmaas serve` prints one at its first start")
    with LMaaS(base_url=options.base_url or NOT_GIVEN, admin_key=key) as client:
        return run(client.admin, options)


def place(options: argparse.Namespace) -> dict[str, Any]:
    """Return the organization that the command named, as a parameter."""
    return {"organization": options.organization} if options.organization else {}


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return those of the options that were given, as parameters."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def show(item: WireModel, options: argparse.Namespace) -> int:
    """Print one object: as JSON, or a line a field."""
    if options.json:
        write(item.to_json() + "\n")
    else:
        fields = [(name, _for_people(name, value)) for name, value in item.to_dict().items()]
        width = max(len(name) for name, _ in fields)
        write("".join(f"{name.ljust(width)}  {text}\n" for name, text in fields))
    return 0


def _for_people(name: str, value: object) -> str:
    if name.endswith(("_at", "_until")) and isinstance(value, int):
        return when(value)
    if value is None or value in ([], {}):
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def project_id(admin: Admin, options: argparse.Namespace, text: str) -> str:
    """Return the id of a project that was given by its id or its name.

    Raises:
        CommandError: there is none of that name.
    """
    if text.startswith("proj_"):
        return text
    for project in admin.projects.list(limit=100, **place(options)):
        if project.name == text and project.archived_at is None:
            return project.id
    message = f"there is no project {text!r}; `lmaas projects list` shows those that are"
    raise CommandError(message)


def listed(
    page: Iterable[Any],
    options: argparse.Namespace,
    header: Sequence[str],
    row: Callable[[Any], Sequence[str]],
) -> int:
    """Print the items of a listing: as one JSON array, or as a table."""
    items = list(islice(iter(page), options.limit + 1))
    is_cut = len(items) > options.limit
    del items[options.limit :]
    if options.json:
        write(json.dumps([item.to_dict() for item in items], ensure_ascii=False) + "\n")
    else:
        write(table(header, [tuple(row(item)) for item in items]))
    if is_cut:
        note(f"Only the first {options.limit} are shown; --limit shows more.")
    return 0


def when(seconds: int | None) -> str:
    """Write a time for people, in UTC."""
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def day(text: str) -> int:
    """Read a day, or a time, in UTC as Unix seconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no day; write 2026-01-31, or 2026-01-31T12:00"
        raise argparse.ArgumentTypeError(message) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def money(nanos: int) -> str:
    """Write an amount of money, which comes in billionths of a dollar, exactly."""
    whole, part = divmod(abs(nanos), 10**9)
    cents = f"{part:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanos < 0 else ''}${whole}.{cents}"


def comma_list(text: str) -> list[str]:
    """Read names with commas between them; nothing is an empty list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 1_000_000:
        message = f"{text!r} is no number from 1 to 1000000"
        raise argparse.ArgumentTypeError(message)
    return number
