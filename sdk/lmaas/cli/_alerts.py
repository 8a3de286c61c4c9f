"""`lmaas alerts`: what is wrong, silences, and the files for Prometheus and Grafana."""

from __future__ import annotations

import argparse
import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Final

from lmaas.cli._admin import Subparsers, add_group, add_verb, show, when
from lmaas.cli._errors import gateway_missing
from lmaas.cli._terminal import table, write

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import Alert

_HEADER: Final = ("ID", "STATE", "SEVERITY", "ALERT", "SINCE", "SILENCED UNTIL", "SUMMARY")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHIPPED: Final = (
    ("rules", "prometheus-rules.yaml", "print recording and alerting rules for Prometheus"),
    ("dashboard", "grafana-dashboard.json", "print the dashboard for Grafana"),
)


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    group = add_group(subparsers, "alerts", "what is wrong, silences, and files for Prometheus and Grafana")
    add_verb(group, "list", _list, text="list alerts, first those that fire", examples=("lmaas alerts list",))
    parser = add_verb(
        group,
        "silence",
        _silence,
        text="have nobody told of an alert for a while",
        examples=(
            'lmaas alerts silence ID --for 2h --comment "new driver"',
            "lmaas alerts silence ID --for 0s",
        ),
    )
    parser.add_argument("alert", metavar="ID")
    parser.add_argument(
        "--for",
        dest="duration",
        type=_duration,
        required=True,
        metavar="TIME",
        help="30m, 2h or 1d; 0s ends it",
    )
    parser.add_argument("--comment", default="", metavar="TEXT", help="why, for others")
    for name, file, text in _SHIPPED:
        plain = group.add_parser(name, help=text, description=text.capitalize() + " (docs/alerts.md).")
        plain.set_defaults(run=lambda _, file=file: _print(file))


def _duration(text: str) -> int:
    found = re.fullmatch(r"(\d{1,7})([smhd])", text)
    seconds = -1 if found is None else int(found[1]) * _UNITS_S[found[2]]
    if not 0 <= seconds <= 30 * _UNITS_S["d"]:
        message = f"{text!r} is no time up to 30 days; write 30m, 2h or 1d"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _list(admin: Admin, options: argparse.Namespace) -> int:
    alerts = admin.alerts.list().data
    if options.json:
        write(json.dumps([alert.to_dict() for alert in alerts], ensure_ascii=False) + "\n")
    else:
        write(table(_HEADER, [_row(alert) for alert in alerts]))
    return 0


def _row(alert: Alert) -> tuple[str, ...]:
    return (
        alert.id,
        alert.state,
        alert.severity,
        alert.name,
        when(alert.started_at),
        when(alert.silenced_until),
        alert.summary,
    )


def _silence(admin: Admin, options: argparse.Namespace) -> int:
    silenced = admin.alerts.silence(options.alert, duration_s=options.duration, comment=options.comment)
    return show(silenced, options)


def _print(file: str) -> int:
    try:
        shipped = resources.files("lmaas_gateway.watching") / "shipped" / file
    except ModuleNotFoundError as error:
        raise gateway_missing(error) from None
    write(shipped.read_text("utf-8"))
    return 0
