"""`lmaas models`: what a server serves, what the embedded catalogue has, and a model made ready to serve."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from lmaas.cli._connection import add_connection_options, connect
from lmaas.cli._errors import CommandError, gateway_missing
from lmaas.cli._selection import kind_of
from lmaas.cli._terminal import note, table, write

if TYPE_CHECKING:
    from lmaas.types import Model
    from lmaas_gateway.replicas.catalog import CatalogEntry

_LIST_EPILOG = """examples:
  lmaas models list
  lmaas models list --json
  lmaas models list --catalog
"""
_PULL_EPILOG = """examples:
  lmaas models pull smollm2-135m-instruct
  lmaas models pull all-minilm-l6-v2 && lmaas serve all-minilm-l6-v2

A catalogue model is fetched and converted once, and its folder printed. A hub id is left to vLLM, which
fetches it when it is first served.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command and its two parts."""
    parser = subparsers.add_parser(
        "models", help="list models, or prepare one", description="List or prepare models."
    )
    parts = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_list(parts)
    _add_pull(parts)


def _add_list(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        "list",
        help="list what a server serves",
        description="List the models of a server, or of the embedded catalogue.",
        epilog=_LIST_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--catalog", action="store_true", help="list the embedded catalogue; needs no server")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_connection_options(parser)
    parser.set_defaults(run=_list)


def _add_pull(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        "pull",
        help="prepare a model, so that serving it starts at once",
        description="Fetch and convert a model into the cache; print where it is.",
        epilog=_PULL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("reference", metavar="REFERENCE", help="catalogue name, local folder or hub id")
    parser.set_defaults(run=_pull)


def _list(options: argparse.Namespace) -> int:
    if options.catalog:
        return _list_catalog(as_json=options.json)
    with connect(options) as client:
        models = client.models.list()
    if options.json:
        write(models.model_dump_json(exclude_unset=True) + "\n")
    else:
        write(table(("ID", "KIND", "CONTEXT", "STATE"), [_row(model) for model in models]))
    return 0


def _row(model: Model) -> tuple[str, str, str, str]:
    context = "-" if model.max_model_len is None else str(model.max_model_len)
    return model.id, kind_of(model) or "-", context, str(getattr(model, "state", "-"))


def _list_catalog(*, as_json: bool) -> int:
    try:
        from lmaas_gateway.replicas.catalog import CATALOG
    except ModuleNotFoundError as error:
        raise gateway_missing(error) from None
    if as_json:
        write(json.dumps([_facts(entry) for entry in CATALOG.values()]) + "\n")
        return 0
    header = ("NAME", "KIND", "CONTEXT", "PARAMETERS", "LICENCE", "DESCRIPTION")
    rows = [tuple(str(fact) for fact in _facts(entry).values()) for entry in CATALOG.values()]
    write(table(header, rows))
    return 0


def _facts(entry: CatalogEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "max_model_len": entry.max_model_len,
        "parameters": entry.parameters,
        "licence": entry.licence,
        "description": entry.description,
    }


def _pull(options: argparse.Namespace) -> int:
    try:
        from lmaas_gateway.errors import SettingsError
        from lmaas_gateway.replicas.catalog import default_cache_dir, prepare, resolve
        from lmaas_gateway.settings import load_settings
    except ModuleNotFoundError as error:
        raise gateway_missing(error) from None
    try:
        settings = load_settings()
        prepared = prepare(
            resolve(options.reference),
            cache_dir=settings.cache_dir or default_cache_dir(os.environ),
            engine_python=settings.engine.python or sys.executable,
            progress=_report,
        )
    except SettingsError as error:
        raise CommandError(str(error)) from None
    if not prepared.is_local:
        note(f"{prepared.path_or_id} is a hub id: vLLM fetches it when it is first served.")
    write(prepared.path_or_id + "\n")
    return 0


def _report(what: str, how_far: str, elapsed_s: float) -> None:
    note(f"{what} ({how_far}) … {elapsed_s:.0f} s")
