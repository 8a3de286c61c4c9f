"""The pictures in the documentation, of the real model at work: `make pictures` puts them there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser.site import ECHO, models_of, running_site
from browser.visiting import visiting
from e2e.live_gateway import CHAT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, ViewportSize

    from browser.site import Site
    from browser.visiting import Visit
    from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

FOLDER = Path(os.environ.get("LMAAS_TEST_PICTURES", "build/pictures/docs"))
MAX_BYTES = 200_000
SMALL: ViewportSize = {"width": 1200, "height": 760}
LINES = (
    "The cat sleeps on the sofa.",
    "A kitten is taking a nap.",
    "Stocks fell sharply on Monday.",
    "The market lost three percent.",
    "Bake it for forty minutes.",
)


@pytest.fixture
def sitting(browser: Browser, site: Site) -> Iterator[Visit]:
    """The owner at a small window."""
    with visiting(browser, site, viewport=SMALL) as visit:
        visit.sign_in()
        yield visit


def test_pictures_of_the_dashboard_and_of_a_call_explained(
    browser: Browser, gateway: LiveGateway, tmp_path: Path
) -> None:
    with (
        running_site(tmp_path, models_of(gateway), fakes=(ECHO,)) as site,
        visiting(browser, site, viewport=SMALL) as visit,
    ):
        visit.sign_in()
        make_calls(site)
        visit.go("/ui")
        expect(visit.page.locator("#chart-latency .u-value").last).to_contain_text("s")
        visit.page.set_viewport_size({"width": SMALL["width"], "height": 1000})
        picture(visit.page, "live")
        visit.page.set_viewport_size(SMALL)
        visit.go(f"/ui/calls/of-{CHAT}")
        picture(visit.page, "call")


def make_calls(site: Site) -> None:
    """Let both models answer, the last time the real one."""
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    with site.api() as client:
        for model in (CHAT, ECHO, ECHO, CHAT):
            body = {"model": model, "messages": messages, "max_tokens": 16, "stream": True}
            client.post("/v1/chat/completions", json=body, headers={"x-request-id": f"of-{model}"})


def test_picture_of_a_conversation(sitting: Visit) -> None:
    chat = sitting.chat(CHAT)
    chat.set("Temperature", "0")
    chat.set("Max tokens", "60")
    chat.ask("What is the capital of France?")
    expect(chat.texts).to_contain_text("Paris", timeout=60_000)
    chat.settle()
    picture(chat.page, "chat")


def test_picture_of_two_models_side_by_side(sitting: Visit) -> None:
    sitting.page.emulate_media(color_scheme="dark")
    chat = sitting.chat(CHAT)
    chat.set("Temperature", "0")
    chat.set("Max tokens", "40")
    chat.page.get_by_label("Side by side").check()
    chat.page.get_by_role("combobox", name="Model B").select_option(ECHO)
    chat.ask("Name three colours.")
    chat.settle()
    picture(chat.page, "compare-dark")


def test_picture_of_lines_that_are_compared(sitting: Visit) -> None:
    sitting.go("/ui/embeddings")
    sitting.page.get_by_label("Lines to compare").fill("\n".join(LINES))
    sitting.page.get_by_role("button", name="Compare").click()
    expect(sitting.page.locator("table.similarity tbody td")).to_have_count(len(LINES) ** 2)
    picture(sitting.page, "embeddings")


def picture(page: Page, name: str) -> None:
    page.mouse.move(0, 0)
    data = page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")
    assert len(data) <= MAX_BYTES
