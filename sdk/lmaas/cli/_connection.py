"""The options that say which server a command talks to, and the client made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas import NOT_GIVEN, LMaaS

if TYPE_CHECKING:
    import argparse


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Describe `--base-url` and `--api-key`."""
    group = parser.add_argument_group("server")
    group.add_argument(
        "--base-url",
        metavar="URL",
        help="where the server is (default: LMAAS_BASE_URL, else http://127.0.0.1:8000/v1)",
    )
    group.add_argument(
        "--api-key",
        metavar="KEY",
        help="key to send (default: LMAAS_API_KEY, which other users of this machine cannot see)",
    )


def connect(options: argparse.Namespace) -> LMaaS:
    """Make the client that `options` describe; the caller closes it.

    Raises:
        ConfigurationError: an option cannot work.
    """
    return LMaaS(base_url=options.base_url or NOT_GIVEN, api_key=options.api_key or NOT_GIVEN)
