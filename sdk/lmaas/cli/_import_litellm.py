"""`lmaas import-litellm`: move from LiteLLM: its configuration becomes a file, its keys become keys here."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmaas import NOT_GIVEN, LMaaS
from lmaas.cli._errors import CommandError, gateway_missing
from lmaas.cli._terminal import note, table, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas.resources import Admin
    from lmaas.types import IssuedApiKey
    from lmaas_gateway.imports.litellm_config import Converted
    from lmaas_gateway.imports.litellm_keys import ForeignKey

_EPILOG = """examples:
  lmaas import-litellm config.yaml --output lmaas.yaml
  lmaas serve --config lmaas.yaml
  curl -H "Authorization: Bearer $LITELLM_MASTER_KEY" \\
    "$LITELLM_URL/key/list?return_full_object=true&size=100" > keys.json
  lmaas import-litellm config.yaml --keys keys.json

What cannot be carried over is listed on standard error, a line each, with why. LiteLLM keeps hashes of its
keys, so each gets a new secret: standard output is a table of the old ones and the new. Keys and limits are
made through the admin API: LMAAS_BASE_URL says where, LMAAS_ADMIN_KEY with which key.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "import-litellm",
        help="move from LiteLLM",
        description="Turn a LiteLLM configuration, and its list of keys, into ours.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="FILE", help="LiteLLM's config.yaml")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where our configuration is written")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="LiteLLM's list of keys, as JSON")
    parser.add_argument(
        "--project", default="litellm", metavar="NAME", help="of keys without a team (default: litellm)"
    )
    parser.add_argument("--base-url", metavar="URL", help="where the gateway is (default: LMAAS_BASE_URL)")
    parser.add_argument("--admin-key", metavar="KEY", help="key to send (default: LMAAS_ADMIN_KEY)")
    parser.add_argument("--organization", metavar="ORG", help="for operators: where the keys are made")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        from lmaas_gateway.errors import SettingsError
        from lmaas_gateway.imports.litellm_config import convert
        from lmaas_gateway.imports.litellm_keys import read_keys
    except ModuleNotFoundError as error:
        raise gateway_missing(error) from None
    if options.output is None and options.keys is None:
        raise CommandError("nothing to do: give --output FILE, --keys FILE or both")
    try:
        converted = convert(_read(options.config))
        keys, left = read_keys(_read(options.keys), time.time()) if options.keys else ([], [])
    except SettingsError as error:
        raise CommandError(str(error)) from None
    for remark in converted.remarks:
        note(f"not carried over: {remark}")
    if options.output is not None:
        _write_private(options.output, converted.as_yaml())
        note(f"wrote {options.output}: {len(converted.settings['models'])} models")
    if options.keys is None:
        _tell_limits(converted)
        return 0
    for line in left:
        note(f"not carried over: {line}")
    return _make(converted, keys, options)


def _make(converted: Converted, keys: Sequence[ForeignKey], options: argparse.Namespace) -> int:
    admin_key = options.admin_key or os.environ.get("LMAAS_ADMIN_KEY")
    if not admin_key:
        raise CommandError("no admin key: set LMAAS_ADMIN_KEY; keys are made through the admin API")
    place = {"organization": options.organization} if options.organization else {}
    with LMaaS(base_url=options.base_url or NOT_GIVEN, admin_key=admin_key) as client:
        maker = _Maker(client.admin, options.project, place)
        for limit, amount, model in converted.limits:
            maker.limit(limit, amount, subject_kind="model", subject=model)
        # Each row as soon as its key is there: should a later one fail, no secret is lost.
        write(table(("OLD KEY", "NAME", "PROJECT", "NEW ID", "NEW SECRET"), []))
        for key in keys:
            issued = maker.issue(key)
            write("  ".join((key.shown or "-", key.name, issued.project, issued.id, issued.secret)) + "\n")
    note(f"made {len(keys)} keys")
    return 0


class _Maker:
    """Makes projects, keys and limits through the admin API."""

    def __init__(self, admin: Admin, project: str, place: dict[str, Any]) -> None:
        self._admin = admin
        self._project = project
        self._place = place
        self._projects: dict[str, str] = {}

    def issue(self, key: ForeignKey) -> IssuedApiKey:
        """Make a key with what it may and its limits."""
        scopes: Any = {"models": key.models, "routes": key.routes}
        days: Any = {} if key.expires_in_days is None else {"expires_in_days": key.expires_in_days}
        issued = self._admin.keys.create(
            project=self._project_of(key.project or self._project),
            name=key.name,
            scopes=scopes,
            **days,
            **self._place,
        )
        for metric, period, amount in key.limits:
            limit = metric if period == "none" else f"{metric}/{period}"
            self.limit(limit, amount, subject_kind="key", subject=issued.id)
        for remark in key.remarks:
            note(f"not carried over: {key.name}: {remark}")
        return issued

    def limit(self, limit: str, amount: int, **subject: Any) -> None:
        """Set a limit."""
        metric, _, period = limit.partition("/")
        terms: Any = {"metric": metric, "period": period or "none", "amount": amount}
        self._admin.limits.set(**terms, **subject, **self._place)

    def _project_of(self, name: str) -> str:
        if not self._projects:
            found = self._admin.projects.list(limit=100, **self._place)
            self._projects = {project.name: project.id for project in found if project.archived_at is None}
        if name not in self._projects:
            self._projects[name] = self._admin.projects.create(name=name, **self._place).id
        return self._projects[name]


def _tell_limits(converted: Converted) -> None:
    for limit, amount, model in converted.limits:
        note(f"to keep its rate, run: lmaas limits set {limit} {amount} --of-model {shlex.quote(model)}")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise CommandError(message) from None
    except UnicodeDecodeError:
        message = f"{path} is not UTF-8"
        raise CommandError(message) from None


def _write_private(path: Path, text: str) -> None:
    """Write a file that holds secrets of replicas, so that only its owner can read it."""
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise CommandError(message) from None
