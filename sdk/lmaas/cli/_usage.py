"""`lmaas usage`: what was used, and what it cost."""

from __future__ import annotations

import argparse
import codecs
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmaas.cli._admin import (
    Subparsers,
    add_group,
    add_verb,
    comma_list,
    day,
    given,
    money,
    place,
    project_id,
)
from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, table, write

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import ModelPrice, UsageTotal

_GROUPS = ("organization", "project", "key", "model", "day")
_NUMBERS = ("CALLS", "PROMPT", "CACHED", "COMPLETION", "REASONING", "COST")
_PRICES = ("MODEL", "INPUT/1M", "CACHED/1M", "OUTPUT/1M", "GPU HOUR", "GPUS")


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "usage", "add up and export what was used, and what it cost")
    parser = add_verb(
        group,
        "show",
        _show,
        text="add up the books",
        examples=("lmaas usage show", "lmaas usage show --since 2026-11-01 --by model,day --project web"),
    )
    _add_range(parser)
    parser.add_argument(
        "--by",
        type=_groups,
        default="project,model",
        metavar="LIST",
        help=f"of {', '.join(_GROUPS)} (default: project,model)",
    )
    parser.add_argument("--key", metavar="ID", help="only of this key")
    parser.add_argument("--model", metavar="MODEL", help="only of this model")
    parser = add_verb(
        group,
        "export",
        _export,
        text="write the ledger's rows to a file",
        examples=("lmaas usage export --since 2026-11-01 --output november.csv",),
    )
    _add_range(parser)
    parser.add_argument("--format", choices=("csv", "jsonl", "parquet"), help="default: csv")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    add_verb(group, "prices", _prices, text="list what models cost", examples=("lmaas usage prices",))


def _add_range(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since", type=day, metavar="DAY", help="from this day on (default: the first of this month)"
    )
    parser.add_argument("--until", type=day, metavar="DAY", help="until the beginning of this day")
    parser.add_argument("--project", metavar="PROJECT", help="only of this project, by id or name")


def _groups(text: str) -> str:
    names = comma_list(text)
    if not names or set(names) - set(_GROUPS):
        message = f"{text!r} cannot be grouped by; give some of {', '.join(_GROUPS)}"
        raise argparse.ArgumentTypeError(message)
    return ",".join(names)


def _range(admin: Admin, options: argparse.Namespace) -> dict[str, Any]:
    now = datetime.now(UTC)
    first = int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp())
    wanted: dict[str, Any] = {"start": first if options.since is None else options.since}
    if options.until is not None:
        wanted["end"] = options.until
    if options.project is not None:
        wanted["project"] = project_id(admin, options, options.project)
    return {**wanted, **place(options)}


def _show(admin: Admin, options: argparse.Namespace) -> int:
    totals = _totals(admin, options)
    if options.json:
        write(json.dumps([total.to_dict() for total in totals], ensure_ascii=False) + "\n")
        return 0
    groups = options.by.split(",")
    header = (*(name.upper() for name in groups), *_NUMBERS)
    write(table(header, [_row(total, groups) for total in totals]))
    return 0


def _totals(admin: Admin, options: argparse.Namespace) -> list[UsageTotal]:
    """Give all groups, part by part."""
    wanted = {"group_by": options.by, **given(options, "key", "model"), **_range(admin, options)}
    part = admin.usage.list(**wanted)
    totals = part.data
    while part.has_more and part.last_id is not None:
        part = admin.usage.list(**wanted, after=part.last_id)
        totals += part.data
    return totals


def _row(total: UsageTotal, groups: list[str]) -> tuple[str, ...]:
    counts = (
        total.calls,
        total.prompt_tokens,
        total.cached_tokens,
        total.completion_tokens,
        total.reasoning_tokens,
    )
    names = (str(getattr(total, name) or "-") for name in groups)
    return *names, *(f"{count:,}" for count in counts), money(total.cost_nanos)


def _export(admin: Admin, options: argparse.Namespace) -> int:
    if options.format == "parquet" and options.output is None:
        raise CommandError("a Parquet file is not for terminals; give --output FILE")
    wanted = {**given(options, "format"), **_range(admin, options)}
    if options.output is None:
        admin.usage.export_to(_StandardOutput(), **wanted)
        return 0
    try:
        admin.usage.export_to(options.output, **wanted)
    except OSError as error:
        message = f"{options.output} cannot be written: {error.strerror}"
        raise CommandError(message) from None
    note(f"wrote {options.output}")
    return 0


class _StandardOutput:
    """Takes text as it comes, however it is cut."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")().decode

    def write(self, data: bytes, /) -> None:
        """Write the characters that are whole."""
        write(self._decode(data))


def _prices(admin: Admin, options: argparse.Namespace) -> int:
    prices = admin.usage.prices(**place(options)).data
    if options.json:
        write(json.dumps([price.to_dict() for price in prices], ensure_ascii=False) + "\n")
    else:
        write(table(_PRICES, [_price_row(price) for price in prices]))
    return 0


def _price_row(price: ModelPrice) -> tuple[str, ...]:
    tokens = (
        price.input_per_million_nanos,
        price.cached_input_per_million_nanos,
        price.output_per_million_nanos,
    )
    return price.id, *map(money, tokens), money(price.gpu_second_nanos * 3600), str(price.gpus)
