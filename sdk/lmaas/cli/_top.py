"""`lmaas top`: what a gateway does now, second by second."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Final

from lmaas import NOT_GIVEN, LMaaS, Timeout
from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, write
from lmaas.cli._top_rows import plain
from lmaas.cli._top_spend import Surroundings
from lmaas.errors import APIError, APIStatusError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmaas.resources import Admin
    from lmaas.types import LiveView

_EPILOG: Final = """examples:
  lmaas top
  lmaas top --window 300
  lmaas top --once --json | jq '.total.calls_per_s'
  lmaas top --json | jq -r '.models[] | [.name, .in_flight] | @tsv'

Without a terminal it prints plain tables, one after the other. $/H is what an hour like the window costs
at the gateway's prices. The key is LMAAS_ADMIN_KEY: the operator's, or one whose scopes have any role in
`admin`; what it may not see, such as other tenants' spending, is shown as "-".
"""
_RETRY_S: Final = 1.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "top",
        help="watch replicas, throughput, latencies, queues and spend, second by second",
        description="What a gateway does now, over all its workers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--once", action="store_true", help="show it once and end")
    parser.add_argument("--json", action="store_true", help="print JSON, a line a second, or once")
    parser.add_argument("--window", type=_window, default=60, metavar="S", help="how far back to look (60)")
    server = parser.add_argument_group("server")
    server.add_argument("--base-url", metavar="URL", help="where the gateway is (default: LMAAS_BASE_URL)")
    server.add_argument("--admin-key", metavar="KEY", help="key to send (default: LMAAS_ADMIN_KEY)")
    parser.set_defaults(run=_run)


def _window(text: str) -> int:
    seconds = int(text) if text.isdecimal() else 0
    if not 1 <= seconds <= 900:
        message = f"{text!r} is no number of seconds from 1 to 900"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _run(options: argparse.Namespace) -> int:
    key = options.admin_key or os.environ.get("LMAAS_ADMIN_KEY")
    if not key:
        raise CommandError("no admin key: set LMAAS_ADMIN_KEY; `lmaas serve` prints one at its first start")
    # A view comes each second for as long as somebody looks.
    timeout = Timeout(total=None, first_token=10.0, inter_token=10.0)
    base_url = options.base_url or NOT_GIVEN
    with LMaaS(base_url=base_url, admin_key=key, timeout=timeout, max_retries=0) as client:
        if options.json:
            return _print_json(client.admin, options)
        if options.once or not sys.stdout.isatty():
            return _print_plain(client.admin, options)
        return _draw(client.admin, options)


def _views(
    admin: Admin, options: argparse.Namespace, tell: Callable[[str], None] = note
) -> Iterator[LiveView]:
    """Give views for as long as somebody looks; where the gateway goes away, wait for it."""
    if options.once:
        yield admin.live.show(window_s=options.window)
        return
    has_come = False
    while True:
        try:
            with admin.live.watch(window_s=options.window) as stream:
                for view in stream:
                    has_come = True
                    yield view
            problem = "the gateway stops"
        except APIStatusError:
            raise
        except APIError as error:
            if not has_come:
                raise
            problem = str(error)
        tell(f"lmaas: {problem}; trying again")
        time.sleep(_RETRY_S)


def _print_json(admin: Admin, options: argparse.Namespace) -> int:
    for view in _views(admin, options):
        write(view.to_json(indent=None) + "\n")
    return 0


def _print_plain(admin: Admin, options: argparse.Namespace) -> int:
    around = Surroundings(admin)
    for view in _views(admin, options):
        around.refresh(time.time())
        write(plain(view, around))
    return 0


def _draw(admin: Admin, options: argparse.Namespace) -> int:
    try:
        from lmaas.cli._top_screen import Screen
    except ImportError:
        raise ConfigurationError("rich is not installed; run `pip install 'lmaas[choose]'`.") from None
    around = Surroundings(admin)
    with Screen(around) as screen:
        for view in _views(admin, options, screen.tell):
            around.refresh(time.time())
            screen.show(view)
    return 0
