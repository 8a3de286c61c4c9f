"""How soon there is something to see; on a busy machine that tells nothing of the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from browser.site import running_site
from browser.visiting import PAGES, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MAX_PAINT_MS = 1000
_FIRST_PAINT = """() => new Promise((done) => {
  new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntriesByName("first-contentful-paint")) done(startTime);
  }).observe({ type: "paint", buffered: true });
})"""


@pytest.mark.alone
def test_every_page_paints_within_a_second(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paints: dict[str, float] = {}
    with running_site(tmp_path_factory.mktemp("site")) as site, visiting(browser, site) as visit:
        visit.sign_in()
        for name, path in PAGES.items():
            visit.go(path)
            paints[name] = visit.page.evaluate(_FIRST_PAINT)
    assert all(paint_ms <= MAX_PAINT_MS for paint_ms in paints.values()), paints
