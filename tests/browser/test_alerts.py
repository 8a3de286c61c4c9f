"""A replica that ends: how soon the dashboard shows it, and whoever is to be told knows."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser.axe import serious_findings
from browser.site import fake_model, model, running_site
from browser.visiting import PHONE, WIDE, picture, visiting
from gateway.processes import until
from support.webhooks import SECRET, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

pytestmark = pytest.mark.timeout(300)

PAIR = "pair"
SEEN_WITHIN_S = TOLD_WITHIN_S = 5.0


class Hook:
    """Takes messages of a webhook on loopback."""

    def __init__(self) -> None:
        self.taken: list[Delivery] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                hook.taken.append(Delivery(headers, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def told_of(self, name: str) -> list[Delivery]:
        """What came of one alert."""
        return [one for one in self.taken if one.event["data"]["name"] == name]


@contextmanager
def listening() -> Iterator[Hook]:
    hook = Hook()
    thread = threading.Thread(target=hook.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        thread.join()
        hook.server.server_close()


def test_replica_that_ends_is_seen_and_told_within_five_seconds(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    with (
        listening() as hook,
        fake_model(folder, PAIR) as (stays, _),
        fake_model(folder, PAIR) as (goes, process),
    ):
        pair = model(PAIR, "chat", stays) | {"replicas": [{"url": stays}, {"url": goes}]}
        alerts = {"webhooks": [{"name": "ops", "url": hook.url, "secret": SECRET}]}
        with running_site(folder, [pair], alerts=alerts) as site, visiting(browser, site) as visit:
            visit.sign_in()
            visit.go("/ui")
            lost = visit.page.get_by_role("row").filter(
                has=visit.page.get_by_role("rowheader", name=f"{PAIR}-1")
            )
            expect(lost.locator(".state")).to_have_text("ready")
            process.kill()
            ended_s = time.monotonic()
            expect(lost.locator(".state")).to_have_text("down", timeout=SEEN_WITHIN_S * 1e3)
            assert time.monotonic() - ended_s <= SEEN_WITHIN_S
            until(lambda: hook.told_of("ReplicaDown"))
            (message,) = hook.told_of("ReplicaDown")
            assert message.at_s - ended_s <= TOLD_WITHIN_S
            assert message.is_genuine
            assert (message.event["type"], message.event["data"]["replica"]) == ("alert.firing", f"{PAIR}-1")
            visit.go("/ui/alerts")
            shown = visit.page.get_by_role("row").filter(has_text="ReplicaDown")
            expect(shown).to_contain_text(f"{PAIR}-1")
            for size in (WIDE, PHONE):
                visit.page.set_viewport_size(size)
                picture(visit.page, f"alerts-firing-{size['width']}")
            assert serious_findings(visit.page) == []
