"""`lmaas serve`: run a gateway, which needs more than the SDK."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lmaas.cli._errors import CommandError, gateway_missing
from lmaas.cli._terminal import note

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPILOG = """examples:
  lmaas serve smollm2-135m-instruct all-minilm-l6-v2
  lmaas serve --config lmaas.yaml --port 9000
  lmaas serve smollm2-135m-instruct --open
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "serve",
        help="run a gateway over vLLM",
        description="Launch models with vLLM and serve them behind the OpenAI API.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="catalogue name, local folder or hub id")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file of settings (docs/configuration.md)"
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8000)")
    parser.add_argument("--workers", type=int, help="processes that share the port (default 1)")
    parser.add_argument(
        "--open",
        action="store_true",
        help="let everybody on this machine in, without keys, limits and books; for development",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        from lmaas_gateway.configuration.source import Source
        from lmaas_gateway.errors import SettingsError
        from lmaas_gateway.server import serve
    except ModuleNotFoundError as error:
        raise gateway_missing(error) from None
    try:
        source = Source(options.config, _flags(options))
        serve(source.load(), report=note, source=source)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    return 0


def _flags(options: argparse.Namespace) -> Mapping[str, object]:
    flags = {
        name: value for name in ("host", "port", "workers") if (value := getattr(options, name)) is not None
    }
    if options.open:
        flags["open"] = True
    if options.models:
        flags["models"] = [{"model": model} for model in options.models]
    return flags
