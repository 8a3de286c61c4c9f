"""An engine that the gateway launched, steered on the page of models. Last of all: others need it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import expect

from browser.site import Site
from browser.visiting import visiting
from e2e.live_gateway import ADMIN_KEY, CHAT
from gateway.processes import group_members, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from browser.talking import ChatPage
    from browser.visiting import Visit
    from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

LOG = logging.getLogger(__name__)
SEEN_WITHIN_S = 5.0
ENDS_WITHIN_S = 30.0
STARTS_WITHIN_S = 180.0


def test_engine_is_scaled_read_stopped_and_started_on_its_page(
    browser: Browser, gateway: LiveGateway
) -> None:
    site = Site(gateway.url, ADMIN_KEY)
    with (
        visiting(browser, site) as operator,
        visiting(browser, site) as viewer,
        visiting(browser, site) as guest,
    ):
        operator.sign_in()
        viewer.go("/ui")
        state = model_row(viewer.page).locator(".state")
        expect(state).to_have_text("ready", timeout=STARTS_WITHIN_S * 1e3)
        chat = guest.chat(CHAT)
        read_log(operator)
        scale_up_and_down(operator, gateway)
        stop(operator, gateway, state)
        see_that_it_is_stopped(chat, gateway)
        start(operator, state)
        see_an_answer(chat)


def model_row(page: Page) -> Locator:
    """Of the dashboard's first table."""
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=f"{CHAT} chat"))


def card(visit: Visit) -> Locator:
    return visit.page.get_by_role("region", name=CHAT)


def read_log(operator: Visit) -> None:
    operator.go("/ui/models")
    card(operator).get_by_role("link", name="Log").click()
    expect(operator.page.locator("main pre")).to_contain_text("INFO")


def scale_up_and_down(operator: Visit, gateway: LiveGateway) -> None:
    """A second engine begins to start, and is ended before it has: the first one serves all the while."""
    first = gateway.api_server_of(CHAT)
    scale_to(operator, 2)
    expect(card(operator).get_by_role("rowheader")).to_have_count(2)
    until(lambda: len(gateway.api_servers_of(CHAT)) == 2, ENDS_WITHIN_S)
    (second,) = set(gateway.api_servers_of(CHAT)) - {first}
    scale_to(operator, 1)
    expect(card(operator).get_by_role("rowheader")).to_have_count(1)
    until(lambda: not group_members(second), ENDS_WITHIN_S)
    assert group_members(first)


def scale_to(operator: Visit, count: int) -> None:
    operator.go("/ui/models")
    card(operator).get_by_label("Replicas").fill(str(count))
    card(operator).get_by_role("button", name="Scale").click()
    operator.page.wait_for_url("**/ui/models?changed=*")


def stop(operator: Visit, gateway: LiveGateway, state: Locator) -> None:
    group = gateway.api_server_of(CHAT)
    operator.go("/ui/models")
    stopped_s = time.monotonic()
    card(operator).get_by_role("button", name="Stop").click()
    expect(state).to_have_text("stopped", timeout=SEEN_WITHIN_S * 1e3)
    assert time.monotonic() - stopped_s <= SEEN_WITHIN_S
    until(lambda: not group_members(group), ENDS_WITHIN_S)
    LOG.info("the engine's processes were gone after %.1f s", time.monotonic() - stopped_s)
    expect(card(operator).locator(".state").first).to_have_text("stopped")


def see_that_it_is_stopped(chat: ChatPage, gateway: LiveGateway) -> None:
    chat.ask("Are you there?")
    expect(chat.error).to_contain_text("stopped")
    expect(chat.message).to_have_value("Are you there?")
    body = {"model": CHAT, "messages": [{"role": "user", "content": "hi"}]}
    refusal = httpx.post(f"{gateway.base_url}/chat/completions", json=body, timeout=30)
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (503, "model_stopped")


def start(operator: Visit, state: Locator) -> None:
    card(operator).get_by_role("button", name="Start").click()
    started_s = time.monotonic()
    expect(state).to_have_text("starting")
    expect(state).to_have_text("ready", timeout=STARTS_WITHIN_S * 1e3)
    LOG.info("it served again after %.1f s", time.monotonic() - started_s)


def see_an_answer(chat: ChatPage) -> None:
    chat.set("Max tokens", "8")
    chat.ask("Are you there?")
    chat.settle()
    expect(chat.error).to_be_empty()
    expect(chat.texts).not_to_be_empty()
