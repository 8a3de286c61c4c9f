"""A browser for each module: while one is open, no event loop can run in this thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser.scripts import Scripts, scripts_in
from browser.site import Site, models_of, running_site
from browser.visiting import Visit, visiting
from e2e.browsing import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from e2e.live_gateway import LiveGateway

# What is waited for comes at once, unless the machine is busy.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium that reaches this machine and no other."""
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def scripts(browser: Browser) -> Iterator[Scripts]:
    """The pages' scripts, to call one by one."""
    yield from scripts_in(browser)


@pytest.fixture(scope="session")
def site(gateway: LiveGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway with tenants, for the whole run."""
    with running_site(tmp_path_factory.mktemp("site"), models_of(gateway)) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """A person with a browser of its own, not signed in; at the end nothing was amiss in any page."""
    with visiting(browser, site) as one:
        yield one
