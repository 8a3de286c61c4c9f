"""Every page, in both colour schemes and at both widths: accessible, small, pictured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import expect

from browser.axe import serious_findings
from browser.site import ECHO
from browser.visiting import PAGES, PHONE, WIDE, Visit, picture, visiting
from e2e.live_gateway import CHAT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Response

    from browser.site import Site

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

MAX_SCRIPT_BYTES = 150_000
CALL = "call-of-the-tour"
DETAILS = {"call": f"/ui/calls/{CALL}", "call-failed": f"/ui/calls/{CALL}-failed"}
"""Pages of what the tour did before."""
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
    named = {CHAT: CALL, "none": f"{CALL}-failed"}
    with site.api() as client:
        for model, tokens in ((CHAT, 8), (ECHO, 4), (ECHO, 400), ("none", 1)):
            body = {"model": model, "messages": messages, "max_tokens": tokens}
            headers = {"x-request-id": named[model]} if model in named else {}
            client.post("/v1/chat/completions", json=body, headers=headers)
        client.post("/v1/embeddings", json={"model": CHAT, "input": "x"})


@pytest.mark.parametrize("name", [*PAGES, *DETAILS])
def test_page_is_accessible_fits_its_window_and_is_pictured(tour: Visit, name: str) -> None:
    tour.go((PAGES | DETAILS)[name])
    settle(tour.page)
    findings = []
    for scheme in SCHEMES:
        tour.page.emulate_media(color_scheme=scheme)
        for size in (WIDE, PHONE):
            tour.page.set_viewport_size(size)
            picture(tour.page, f"{name}-{size['width']}-{scheme}")
            assert width_of(tour.page) <= size["width"], "it has to be moved sideways"
        findings += serious_findings(tour.page)
    assert findings == []


def test_pages_in_chinese_fit_their_windows_and_are_pictured(browser: Browser, tour: Visit) -> None:
    """Wide and light, narrow and dark: the rest is as in English."""
    session = tour.context.storage_state()
    with visiting(browser, tour.site, locale="zh-CN", storage_state=session) as visit:
        for name, path in (PAGES | DETAILS).items():
            visit.go(path)
            settle(visit.page)
            expect(visit.page.locator("html")).to_have_attribute("lang", "zh-Hans")
            for scheme, size in zip(SCHEMES, (WIDE, PHONE), strict=True):
                visit.page.emulate_media(color_scheme=scheme)
                visit.page.set_viewport_size(size)
                picture(visit.page, f"zh-{name}-{size['width']}-{scheme}")
            assert width_of(visit.page) <= PHONE["width"], "it has to be moved sideways"


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


def width_of(page: Page) -> int:
    """How wide all of it is, in pixels."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width
