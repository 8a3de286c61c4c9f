"""A person at the pages, in a browser profile of its own, which notes all that should not be."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from browser.talking import ChatPage, unfold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Dialog,
        Page,
        Request,
        ViewportSize,
    )

    from browser.site import Site

WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}

PAGES = {
    "live": "/ui",
    "usage": "/ui/usage",
    "quality": "/ui/quality",
    "calls": "/ui/calls",
    "keys": "/ui/keys",
    "limits": "/ui/limits",
    "models": "/ui/models",
    "alerts": "/ui/alerts",
    "chat": "/ui/chat",
    "embeddings": "/ui/embeddings",
}
"""All pages of who is signed in, by their names in pictures."""


PICTURES = Path("build/pictures")
"""Of all pages, for people to look at; not kept in the repository."""


class Visit:
    """One person.

    Attributes:
        page: What they look at.
        amiss: What a good page never does: errors in the console (a breach of the policy of contents is one),
            exceptions, dialogs, requests to other hosts.
    """

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.context = context
        self.site = site
        self.amiss: list[str] = []
        self.page = self._watched(context.new_page())

    def sign_in(self, key: str = "") -> None:
        """Sign in with a key; default: the owner's."""
        self.page.goto(f"{self.site.url}/ui/sign-in")
        self.page.get_by_label("Key", exact=True).fill(key or self.site.owner_key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/sign-in" not in url)

    def go(self, path: str) -> None:
        """Look at a page, which there must be."""
        response = self.page.goto(self.site.url + path)
        assert response is not None
        assert response.ok, f"{path} answers with {response.status}"

    def chat(self, model: str) -> ChatPage:
        """Begin to talk to a model."""
        chat = ChatPage(self.page)
        chat.open(self.site.url, model)
        return chat

    def unfold(self, summary: str) -> None:
        """Open what is folded."""
        unfold(self.page, summary)

    def is_hacked(self) -> bool:
        """Tell whether anybody's markup ran in the page."""
        return bool(self.page.evaluate("'hacked' in window"))

    def _watched(self, page: Page) -> Page:
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.amiss.append(f"exception: {error}"))
        page.on("dialog", self._dismiss)
        page.on("request", self._look_at)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        # What is refused by the gateway is an error to the browser, and not amiss.
        if message.type == "error" and "the server responded with a status of" not in message.text:
            self.amiss.append(f"console: {message.text}")

    def _dismiss(self, dialog: Dialog) -> None:
        self.amiss.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _look_at(self, request: Request) -> None:
        if not request.url.startswith((self.site.url + "/", "data:", "blob:")):
            self.amiss.append(f"request: {request.url}")


@contextmanager
def visiting(browser: Browser, site: Site, **options: Any) -> Iterator[Visit]:
    """Open a profile, close it, and see that nothing was amiss."""
    context = browser.new_context(**{"viewport": WIDE, "locale": "en-US", **options})
    context.set_default_timeout(30_000)
    visit = Visit(context, site)
    try:
        yield visit
    finally:
        context.close()
    assert visit.amiss == []


def picture(page: Page, name: str) -> None:
    """Leave a picture of all of a page, at the width that its window has."""
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")
