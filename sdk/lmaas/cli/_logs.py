"""`lmaas logs`: the log lines of a gateway that are wanted, and those that come."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmaas._shown import without_controls
from lmaas.cli._admin import add_verb, call, given
from lmaas.cli._errors import CommandError, gateway_missing
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmaas.cli._admin import Subparsers
    from lmaas.resources import Admin
    from lmaas_gateway.logs.reading import LogFilter

_FILTERS = (
    *("request_id", "organization", "project", "principal", "model", "replica", "outcome", "code"),
    *("level", "since"),
)
_LEVELS = ("debug", "info", "warning", "error", "critical")
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_POLL_S = 0.25
_HEAD = frozenset({"time", "level", "logger", "event", "request_id"})


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = add_verb(
        subparsers,
        "logs",
        _remote,
        text="show log lines of the gateway, and follow those that come",
        examples=(
            "lmaas logs --follow",
            "lmaas logs --level error --since 1h",
            "lmaas logs --request-id req_… --json",
            "lmaas logs --file /var/log/lmaas/gateway.log --model smollm2 --outcome error",
            "journalctl -u lmaas -o cat | lmaas logs --file -",
        ),
    )
    parser.set_defaults(run=_run)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with the lines that come")
    parser.add_argument(
        "-n",
        "--lines",
        type=_count,
        default=100,
        metavar="N",
        help="how many of the last (default 100)",
    )
    parser.add_argument("--request-id", metavar="ID", help="only this call")
    parser.add_argument("--project", metavar="ID", help="only calls of this project")
    parser.add_argument("--principal", metavar="ID", help="only calls of this key or member")
    parser.add_argument("--model", metavar="NAME", help="only calls of this model")
    parser.add_argument("--replica", metavar="NAME", help="only calls that this replica answered")
    parser.add_argument("--outcome", metavar="WORD", help="only calls that ended so: ok, error, …")
    parser.add_argument("--code", metavar="CODE", help="only calls with this error code (docs/errors.md)")
    parser.add_argument("--level", choices=_LEVELS, help="only lines of this severity or a greater one")
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="only newer ones: 10m, 2h, 1d, or 2026-01-31T12:00 UTC",
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="read this log file, or - for standard input, in place of asking the gateway, which needs a "
        "log_file.path of its own and the operator's key",
    )


def _run(options: argparse.Namespace) -> int:
    return call(_remote, options) if options.file is None else _local(options)


def _remote(admin: Admin, options: argparse.Namespace) -> int:
    params = {**given(options, *_FILTERS), "limit": options.lines}
    if not options.follow:
        found = admin.logs.list(**params)
        _show(found.data, options)
        if found.has_more:
            note("There are older lines; --lines shows more, --since and the like say which.")
        return 0
    with admin.logs.follow(**params) as lines:
        _show(lines, options)
    return 0


def _local(options: argparse.Namespace) -> int:
    try:
        from lmaas_gateway.logs.reading import LogFilter
    except ModuleNotFoundError as error:
        raise gateway_missing(error) from None
    wanted = LogFilter(**given(options, *_FILTERS))
    if options.file == "-":
        _show(_from_input(wanted), options)
    else:
        _show(_from_file(Path(options.file), wanted, options), options)
    return 0


def _from_input(wanted: LogFilter) -> Iterator[dict[str, Any]]:
    from lmaas_gateway.logs.reading import decode

    for raw in sys.stdin.buffer:
        line = decode(raw)
        if line is not None and wanted.takes(line):
            yield line


def _from_file(path: Path, wanted: LogFilter, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from lmaas_gateway.logs.files import older_files
    from lmaas_gateway.logs.reading import Tail, decode, find_last

    if not path.is_file():
        message = f"there is no file {path}"
        raise CommandError(message)
    try:
        tail = Tail(path)
        yield from find_last([path, *older_files(path, 100)], wanted, options.lines, tail.place).lines
        while options.follow:
            lines = map(decode, tail.read())
            yield from (line for line in lines if line is not None and wanted.takes(line))
            time.sleep(_POLL_S)
        tail.close()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise CommandError(message) from None


def _show(lines: Iterable[dict[str, Any]], options: argparse.Namespace) -> None:
    for_people = sys.stdout.isatty() and not options.json
    for line in lines:
        write((_text(line) if for_people else json.dumps(line, ensure_ascii=False)) + "\n")


def _text(line: dict[str, Any]) -> str:
    """Write a line for people: when, how grave, what, and then what else there is to know."""
    moment = str(line.get("time", "")).partition("T")[2].removesuffix("Z")
    head = f"{moment:12} {line.get('level', ''):7}"
    text = _call(line) if line.get("event") == "call" else _event(line)
    return without_controls(f"{head} {text}").replace("\n", " ")


def _call(line: dict[str, Any]) -> str:
    code = f" {line['code']}" if line.get("code") else ""
    tokens = f"{line.get('prompt_tokens', 0)}+{line.get('completion_tokens', 0)} tokens"
    queued = f", queued {line['queue_ms']:.0f} ms" if line.get("queue_ms") else ""
    times = f"{line.get('duration_ms', 0):.0f} ms, first byte {line.get('first_byte_ms', 0):.0f} ms{queued}"
    names = (line.get(name) for name in ("route", "model", "request_id", "project", "principal"))
    return f"{line.get('status')} {line.get('outcome')}{code}  {times}, {tokens}  " + "  ".join(
        str(name) for name in names if name
    )


def _event(line: dict[str, Any]) -> str:
    more = [f"{name}={value}" for name, value in line.items() if name not in _HEAD]
    request_id = [str(line["request_id"])] if line.get("request_id") else []
    return "  ".join([f"{line.get('logger', '')}: {line.get('event', '')}", *request_id, *more])


def _moment(text: str) -> str:
    """Read a time, or how long ago it was, as log lines have it."""
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            moment = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            given_time = datetime.fromisoformat(text)
            moment = given_time if given_time.tzinfo else given_time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time; write 10m, 2h, 1d, or 2026-01-31T12:00"
        raise argparse.ArgumentTypeError(message) from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 1000:
        message = f"{text!r} is no number from 1 to 1000"
        raise argparse.ArgumentTypeError(message)
    return number
