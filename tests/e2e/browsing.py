"""A real browser on the example page, and a gateway of a few lines for what a real one says too seldom."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Browser, Page

EXAMPLES = Path(__file__).parents[2] / "examples"
BROWSER_VARIABLE = "LMAAS_TEST_BROWSER"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Parameters that the page does not know, for an answer of a known length.
_ADD_FIELDS = """
const send = window.fetch;
window.fetch = (url, options) => send(url, options?.body
  ? { ...options, body: JSON.stringify({ ...JSON.parse(options.body), ...FIELDS }) } : options);
"""
# What the reader saw of the answer, one length each time it grew.
_WATCH = """
window.lengths = [];
new MutationObserver(() => {
  const length = document.querySelector("article.assistant")?.textContent.length ?? 0;
  if (length > (window.lengths.at(-1) ?? 0)) window.lengths.push(length);
}).observe(document, { subtree: true, childList: true, characterData: true });
"""


class ChatPage:
    """The example page as a person meets it: by labels and roles."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console: list[str] = []
        self.model = page.get_by_role("combobox", name="Model")
        self.key = page.get_by_label("API key")
        self.message = page.get_by_role("textbox", name="Message")
        self.send = page.get_by_role("button", name="Send")
        self.stop = page.get_by_role("button", name="Stop")
        self.questions = page.get_by_role("article", name="You")
        self.answers = page.get_by_role("article", name="Model")
        self.status = page.get_by_role("status")
        self.error = page.get_by_role("alert")
        page.on("console", lambda message: self.console.append(message.text))

    def open(self, origin: str, base_url: str, fields: dict[str, object], **query: str) -> None:
        """Go to the page at `origin`; `fields` are added to every call."""
        self.page.add_init_script(_WATCH + _ADD_FIELDS.replace("FIELDS", json.dumps(fields)))
        query["base_url"] = base_url
        self.page.goto(f"{origin}/browser_chat.html?{urlencode(query)}")

    def ask(self, question: str) -> None:
        self.message.fill(question)
        self.send.click()

    def lengths(self) -> list[int]:
        """The answer's length after each time it grew."""
        lengths: list[int] = self.page.evaluate("window.lengths")
        return lengths


@contextmanager
def chromium(origins: Sequence[str] = (), port: int = 0) -> Iterator[Browser]:
    """A headless browser for which the hosts of `origins` are this machine's `port`, and no others exist."""
    known = [f"MAP {urlsplit(origin).hostname} 127.0.0.1:{port}" for origin in origins]
    rules = ", ".join([*known, "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"])
    arguments = [
        f"--host-resolver-rules={rules}",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-gpu",
        "--disable-sync",
        "--no-first-run",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_executable(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def _executable() -> str:
    named = os.environ.get(BROWSER_VARIABLE)
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(
            f"no Chromium or Chrome on PATH; `make test` installs one, or set {BROWSER_VARIABLE} to its path"
        )
    return found


@contextmanager
def serving(handler: Any) -> Iterator[int]:
    """Serve with `handler` on a free port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing."""


example_files = partial(_QuietFiles, directory=str(EXAMPLES))


class StubGateway(BaseHTTPRequestHandler):
    """Answers every chat call with the same bytes; subclasses say which."""

    reply: ClassVar[bytes] = b""
    missing_bytes: ClassVar[int] = 0
    """How much longer the reply claims to be than it is."""
    may_end: ClassVar[threading.Event]
    """Cleared, the reply stays open when all of it is sent."""
    calls: ClassVar[list[dict[str, Any]]]
    keys: ClassVar[list[str | None]]

    def do_OPTIONS(self) -> None:
        self._answer(b"", "text/plain")

    def do_GET(self) -> None:
        self._answer(b'{"data": [{"id": "embedder", "kind": "embed"}, {"id": "talker", "kind": "chat"}]}')

    def do_POST(self) -> None:
        self.calls.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.keys.append(self.headers["authorization"])
        self._answer(self.reply, "text/event-stream", self.missing_bytes)

    def _answer(self, body: bytes, content_type: str = "application/json", missing_bytes: int = 0) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body) + missing_bytes))
        self.send_header("access-control-allow-origin", "*")
        self.send_header("access-control-allow-headers", "authorization, content-type")
        self.end_headers()
        self.wfile.write(body)
        self.may_end.wait(10)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing."""


def stub_gateway(*events: dict[str, Any] | str, missing_bytes: int = 0) -> type[StubGateway]:
    """A gateway whose every answer is these events."""
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    reply = "".join(f"data: {line}\n\n" for line in lines).encode()
    may_end = threading.Event()
    may_end.set()
    members = {"reply": reply, "missing_bytes": missing_bytes, "may_end": may_end, "calls": [], "keys": []}
    return type("Stub", (StubGateway,), members)


def words(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    """One event of an answer."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]}
