"""`lmaas limits`: how much organizations, projects, members, keys and models may use."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from lmaas.cli._admin import (
    Subparsers,
    add_group,
    add_paging,
    add_verb,
    given,
    listed,
    money,
    page_size,
    place,
    project_id,
    show,
)
from lmaas.cli._errors import CommandError

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import UsageLimit

_HEADER = ("ID", "SUBJECT", "OF", "MODELS", "LIMIT", "AMOUNT")
_LIMITS = (
    "requests/minute",
    "requests/day",
    "tokens/minute",
    "tokens/day",
    "calls_in_flight",
    "tokens_in_flight",
    "money/day",
    "money/month",
)


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "limits", "set, list and lift limits")
    parser = add_verb(
        group,
        "set",
        _set,
        text="set a limit, in place of one of the same kind",
        examples=(
            "lmaas limits set tokens/minute 100000 --project web",
            "lmaas limits set money/month 25.50 --project web",
            "lmaas limits set calls_in_flight 8 --key ID --model 'qwen*'",
        ),
    )
    parser.add_argument("limit", choices=_LIMITS, metavar="LIMIT", help=", ".join(_LIMITS))
    parser.add_argument("amount", metavar="AMOUNT", help="the most of it; money in US dollars")
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--project", metavar="PROJECT", help="of a project; default: the organization")
    subject.add_argument("--key", metavar="ID", help="of a key")
    subject.add_argument("--member", metavar="ID", help="of a person or service account")
    subject.add_argument("--of-model", metavar="MODEL", help="of a model, whoever calls it")
    parser.add_argument(
        "--model", metavar="MODEL", help="only calls of these models count; a name or pattern"
    )
    parser = add_verb(
        group,
        "list",
        _list,
        text="list limits",
        examples=("lmaas limits list", "lmaas limits list --subject ID"),
    )
    parser.add_argument("--subject", metavar="ID", help="only those of this project, key, member or model")
    add_paging(parser)
    parser = add_verb(group, "remove", _remove, text="lift a limit", examples=("lmaas limits remove ID",))
    parser.add_argument("id", metavar="ID")


def _set(admin: Admin, options: argparse.Namespace) -> int:
    metric, _, period = options.limit.partition("/")
    limit = admin.limits.set(
        metric=metric,
        period=period or "none",
        amount=amount(metric, options.amount),
        **_subject(admin, options),
        **given(options, "model"),
        **place(options),
    )
    return show(limit, options)


def _subject(admin: Admin, options: argparse.Namespace) -> dict[str, Any]:
    if options.project is not None:
        return {"subject_kind": "project", "subject": project_id(admin, options, options.project)}
    for kind, value in (("key", options.key), ("member", options.member), ("model", options.of_model)):
        if value is not None:
            return {"subject_kind": kind, "subject": value}
    return {"subject_kind": "organization"}


def amount(metric: str, text: str) -> int:
    """Read how much, money as dollars; return it as the API counts.

    Raises:
        CommandError: it is no number of the metric.
    """
    try:
        number = Decimal(text.removeprefix("$")) * (10**9 if metric == "money" else 1)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or number != int(number):
        kind = "of dollars, such as 25.50" if metric == "money" else "without a point"
        message = f"{text!r} is no amount; give a number {kind}"
        raise CommandError(message)
    return int(number)


def _list(admin: Admin, options: argparse.Namespace) -> int:
    page = admin.limits.list(limit=page_size(options), **given(options, "subject"), **place(options))
    return listed(page, options, _HEADER, _row)


def _row(limit: UsageLimit) -> tuple[str, ...]:
    name = limit.metric if limit.period == "none" else f"{limit.metric}/{limit.period}"
    much = money(limit.amount) if limit.metric == "money" else f"{limit.amount:,}"
    return limit.id, limit.subject_kind, limit.subject, limit.model, name, much


def _remove(admin: Admin, options: argparse.Namespace) -> int:
    return show(admin.limits.remove(options.id, **place(options)), options)
