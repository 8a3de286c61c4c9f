"""`lmaas explain` and `lmaas calls`: why a call took so long, and which ones failed or were slow."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from lmaas.cli._admin import (
    Subparsers,
    add_paging,
    add_verb,
    day,
    given,
    listed,
    money,
    page_size,
    place,
    project_id,
    when,
)
from lmaas.cli._rich_tables import show_table
from lmaas.cli._terminal import table, write
from lmaas.errors import ConfigurationError

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import CallExplanation, CallStep, ServedCall

_HEADER = ("ID", "AT", "MODEL", "OUTCOME", "STATUS", "CODE", "TOOK", "QUEUED", "FIRST BYTE", "TOKENS", "COST")
_STEPS = ("STEP", "AT", "TOOK", "BY", "WHAT AND WHY")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe both commands."""
    parser = add_verb(
        subparsers,
        "explain",
        _explain,
        text="tell what happened to a call, step by step",
        examples=("lmaas explain req_2f0c…", "lmaas explain req_2f0c… --json"),
    )
    parser.add_argument("call", metavar="ID", help="its request id, which every reply and error has")
    parser = add_verb(
        subparsers,
        "calls",
        _calls,
        text="list the last calls, newest first",
        examples=("lmaas calls --slow 2s --failed", "lmaas calls --model chat --since 2026-11-01T12:00"),
    )
    parser.add_argument(
        "--failed", action="store_true", help="only those that the service failed on, or refused"
    )
    parser.add_argument(
        "--slow", type=_duration, metavar="TIME", help="only those that took longer, as 2s or 500ms"
    )
    parser.add_argument("--model", metavar="MODEL", help="only of this model")
    parser.add_argument("--project", metavar="PROJECT", help="only of this project, by id or name")
    parser.add_argument("--since", type=day, metavar="TIME", help="only those that ended then or later")
    add_paging(parser)


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        message = f"{text!r} is no time; write 2s, 500ms or 1m"
        raise argparse.ArgumentTypeError(message)
    return float(match[1]) * _UNITS[match[2]]


def _calls(admin: Admin, options: argparse.Namespace) -> int:
    wanted: dict[str, Any] = {**given(options, "model", "since"), **place(options)}
    if options.failed:
        wanted["failed"] = True
    if options.slow is not None:
        wanted["slow_over_s"] = options.slow
    if options.project is not None:
        wanted["project"] = project_id(admin, options, options.project)
    return listed(admin.calls.list(limit=page_size(options), **wanted), options, _HEADER, _row)


def _row(call: ServedCall) -> tuple[str, ...]:
    return (
        call.id,
        when(int(call.at)),
        call.model,
        call.outcome,
        str(call.status),
        call.code or "-",
        _time(call.duration_s),
        _time(call.queued_s),
        _time(call.first_byte_s),
        f"{call.prompt_tokens}+{call.completion_tokens}",
        money(call.cost_nanos),
    )


def _explain(admin: Admin, options: argparse.Namespace) -> int:
    call = admin.calls.explain(options.call, **place(options))
    if options.json:
        write(call.to_json() + "\n")
        return 0
    write(f"{call.id}: {call.summary}\n")
    if call.known_from == "ledger":
        write("Its record has made room for newer ones; this is what the ledger has.\n")
    rows = [_step(step) for step in call.steps]
    try:
        show_table(_title(call), _STEPS, rows, words=(0, 3, 4))
    except ConfigurationError:
        # What draws tables is an extra, and this must be readable without.
        write(f"{_title(call)}\n{table(_STEPS, rows)}")
    return 0


def _title(call: CallExplanation) -> str:
    tokens = f"{call.prompt_tokens}+{call.completion_tokens} tokens"
    return (
        f"{call.model} at {when(int(call.at))} UTC, {'stream' if call.is_stream else 'one piece'}, {tokens}"
    )


def _step(step: CallStep) -> tuple[str, ...]:
    return step.name.replace("_", " "), _time(step.at_s), _time(step.duration_s), step.source, step.text


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
