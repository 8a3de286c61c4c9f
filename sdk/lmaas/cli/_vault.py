"""`lmaas vault`: the master secret and the audit trail, on the gateway's own host."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from lmaas.cli._errors import CommandError, gateway_missing
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.settings import Settings

_EPILOG = """examples:
  lmaas vault status
  lmaas vault rotate --config lmaas.yaml
  lmaas vault verify
  lmaas vault webhook pager

They read the settings of the gateway, as `lmaas serve` does, and go to its files and database directly.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    parser = subparsers.add_parser(
        "vault",
        help="rotate the master secret; verify the audit trail without a gateway",
        description="The master secret and the audit trail, on the gateway's own host.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, run, text in (
        ("status", _status, "say where the master secret is, and what depends on which version"),
        ("rotate", _rotate, "make a new version, and wrap all data keys by it; may be repeated at any time"),
        ("verify", _verify, "check the audit trail against itself and what was signed"),
    ):
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        verb.add_argument(
            "--config", type=Path, metavar="FILE", help="YAML file of settings (docs/configuration.md)"
        )
        verb.set_defaults(run=_on_host(run))
    verb = verbs.add_parser("webhook", help="show the secret that a webhook's messages are signed with")
    verb.add_argument("name", metavar="NAME", help="of the webhook, in `alerts.webhooks`")
    verb.add_argument("--config", type=Path, metavar="FILE", help="YAML file of settings")
    verb.set_defaults(
        run=lambda options: _on_host(lambda settings: _webhook(settings, options.name))(options)
    )


def _on_host(run: Callable[[Settings], int]) -> Callable[[argparse.Namespace], int]:
    def act(options: argparse.Namespace) -> int:
        try:
            from lmaas_gateway.errors import SettingsError
            from lmaas_gateway.settings import load_settings
        except ModuleNotFoundError as error:
            raise gateway_missing(error) from None
        try:
            return run(load_settings(options.config))
        except SettingsError as error:
            raise CommandError(str(error)) from None

    return act


def _webhook(settings: Settings, name: str) -> int:
    from lmaas_gateway.custody import webhook_secret

    write(webhook_secret(settings, name) + "\n")
    return 0


def _status(settings: Settings) -> int:
    from lmaas_gateway.custody import describe

    status = asyncio.run(describe(settings))
    write(f"master secret: {status.source}, versions {', '.join(map(str, status.versions))}\n")
    for version, count in status.data_keys.items():
        write(f"data keys wrapped by version {version}: {count}\n")
    return 0


def _rotate(settings: Settings) -> int:
    from lmaas_gateway.custody import rotate_master

    done = asyncio.run(rotate_master(settings))
    write(f"{done.rewrapped} data keys were wrapped by version {done.version} of the master secret\n")
    if done.is_new:
        note("Keep a new copy of the master key file, apart from the database.")
    return 0


def _verify(settings: Settings) -> int:
    from lmaas_gateway.custody import verify_trail

    verdict = asyncio.run(verify_trail(settings))
    for finding in verdict.findings:
        write(f"{finding.kind}: {finding.message}\n")
    seen = f"{verdict.rows} rows, {verdict.checkpoints} checkpoints, signed up to row {verdict.signed_rows}"
    if verdict.is_intact:
        write(f"the audit trail is intact: {seen}\n")
        return 0
    note(f"the audit trail was changed in {len(verdict.findings)} places: {seen}")
    return 1
