"""Functions of the pages' own scripts, called one by one in a real browser."""

from __future__ import annotations

import json
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmaas_gateway.web
from e2e.browsing import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import Browser, Page

ASSETS = Path(lmaas_gateway.web.__file__).with_name("assets")

_CALL = """
async ([module, name, args]) => {
  const { [name]: wanted } = await import(module);
  try {
    return { value: await wanted(...args) };
  } catch (error) {
    return { error: { ...error, kind: error.constructor.name, message: error.message } };
  }
}
"""


class ScriptError(Exception):
    """What a script threw: its `kind`, its `message` and what else it holds."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(fields))
        self.fields = fields


class Scripts:
    """The scripts, as a page has them that holds nothing else."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def call(self, module: str, name: str, *arguments: Any) -> Any:
        """Call what a module exports.

        Raises:
            ScriptError: it threw.
        """
        answer = self.page.evaluate(_CALL, [f"./{module}", name, list(arguments)])
        if "error" in answer:
            raise ScriptError(answer["error"])
        return answer.get("value")

    def run(self, body: str, *arguments: Any) -> Any:
        """Run an asynchronous function's body; it is given `args`, and `load(module)` gives a module."""
        return self.page.evaluate(
            f"async (args) => {{ const load = (module) => import('./' + module); {body} }}", list(arguments)
        )


class _Folder(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/":
            return super().do_GET()
        page = b"<!doctype html><title>scripts</title>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing."""


def scripts_in(browser: Browser) -> Iterator[Scripts]:
    """Open a page that can load the scripts."""
    with serving(partial(_Folder, directory=str(ASSETS))) as port:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        yield Scripts(page)
        context.close()
