"""Every page, in both colour schemes and at both widths: accessible, small, pictured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from browser.axe import serious_findings
from browser.site import ECHO
from browser.visiting import PAGES, PHONE, WIDE, Visit, visiting
from e2e.live_gateway import CHAT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Response

    from browser.site import Site

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

PICTURES = Path("build/pictures")
"""Of all pages, for people to look at; not kept in the repository."""
MAX_SCRIPT_BYTES = 150_000
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def tour(browser: Browser, site: Site) -> Iterator[Visit]:
    """The owner, after some calls, so that the pages have something to show."""
    make_calls(site)
    with visiting(browser, site, reduced_motion="reduce") as visit:
        visit.sign_in()
        yield visit


def make_calls(site: Site) -> None:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    with site.api() as client:
        for model, tokens in ((CHAT, 8), (ECHO, 4), (ECHO, 400), ("none", 1)):
            body = {"model": model, "messages": messages, "max_tokens": tokens}
            client.post("/v1/chat/completions", json=body)
        client.post("/v1/embeddings", json={"model": CHAT, "input": "x"})


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_fits_its_window_and_is_pictured(tour: Visit, name: str) -> None:
    tour.go(PAGES[name])
    settle(tour.page)
    findings = []
    for scheme in SCHEMES:
        tour.page.emulate_media(color_scheme=scheme)
        for size in (WIDE, PHONE):
            tour.page.set_viewport_size(size)
            picture(tour.page, f"{name}-{size['width']}-{scheme}")
            width = tour.page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"], "it has to be moved sideways"
        findings += serious_findings(tour.page)
    assert findings == []


def test_the_way_in_is_accessible_and_pictured(browser: Browser, site: Site) -> None:
    with visiting(browser, site) as visit:
        visit.go("/ui")
        for scheme in SCHEMES:
            visit.page.emulate_media(color_scheme=scheme)
            for size in (WIDE, PHONE):
                visit.page.set_viewport_size(size)
                picture(visit.page, f"sign-in-{size['width']}-{scheme}")
            assert serious_findings(visit.page) == []


def test_all_scripts_of_all_pages_are_small(tour: Visit) -> None:
    sizes: dict[str, int] = {}

    def weigh(response: Response) -> None:
        if response.request.resource_type == "script":
            sizes[response.url] = response.request.sizes()["responseBodySize"]

    tour.page.on("response", weigh)
    for path in PAGES.values():
        tour.go(path)
        settle(tour.page)
    tour.page.remove_listener("response", weigh)
    assert sizes
    assert sum(sizes.values()) <= MAX_SCRIPT_BYTES, sizes


def settle(page: Page) -> None:
    """Wait for the models to choose from: a page that is told what goes on never falls silent."""
    page.wait_for_load_state("load")
    page.wait_for_function("document.querySelector('select:empty') === null")


def picture(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")
