"""A person's way through the pages with the real model: from a key that is made to a key that has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser.site import ECHO
from browser.talking import ChatPage
from browser.visiting import visiting
from e2e.live_gateway import CHAT
from gateway.processes import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from browser.site import Site
    from browser.visiting import Visit
    from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

RUNNING = "vllm:num_requests_running"
STOPPED_WITHIN_S = 1.5
REVOKED_WITHIN_S = 5.0
MAX_STEPS = 80
_FOCUS = """(wanted) => {
  const { activeElement } = document;
  return [activeElement === wanted, getComputedStyle(activeElement).outlineStyle];
}"""


def test_from_a_key_that_is_made_to_a_key_that_has_ended(
    visit: Visit, browser: Browser, site: Site, gateway: LiveGateway
) -> None:
    visit.sign_in()
    secret = make_key(visit, "laptop")
    with visiting(browser, site) as guest:
        guest.sign_in(secret)
        chat = guest.chat(CHAT)
        request_id = stop_in_the_middle(chat, gateway)
        see_explanation(visit, request_id)
        see_usage(visit, "laptop")
        revoke_key(visit, "laptop")
        see_refusal(chat)


def make_key(visit: Visit, name: str) -> str:
    visit.go("/ui/keys")
    visit.unfold("Make a key")
    visit.page.get_by_label("Name", exact=True).fill(name)
    visit.page.get_by_role("button", name="Make the key").click()
    return visit.page.locator("#secret").inner_text()


def stop_in_the_middle(chat: ChatPage, gateway: LiveGateway) -> str:
    """Stop a long answer; give the id of the call."""
    chat.set("Max tokens", "1500")
    chat.set_extra({"ignore_eos": True})
    chat.ask("Tell a long story.")
    expect(chat.texts).to_contain_text(" ", timeout=30_000)
    until(lambda: gateway.engine_metric(CHAT, RUNNING) == 1)
    chat.stop.click()
    stopped_s = time.monotonic()
    until(lambda: gateway.engine_metric(CHAT, RUNNING) == 0)
    assert time.monotonic() - stopped_s <= STOPPED_WITHIN_S
    expect(chat.notes()).to_have_text("Stopped.")
    expect(chat.error).to_be_empty()
    return chat.answers.locator(".request").inner_text()


def see_explanation(visit: Visit, request_id: str) -> None:
    visit.go(f"/ui/calls/{request_id}")
    main = visit.page.locator("main")
    expect(main).to_contain_text(request_id)
    expect(main).to_contain_text(CHAT)


def see_usage(visit: Visit, name: str) -> None:
    """What a call used stands in the ledger about a second after its end."""

    def row() -> Locator:
        visit.go("/ui/usage?by=key")
        return visit.page.get_by_role("row").filter(has=visit.page.get_by_role("rowheader", name=name))

    until(lambda: row().count() == 1)
    expect(row()).to_contain_text("$")


def revoke_key(visit: Visit, name: str) -> None:
    visit.go("/ui/keys")
    visit.page.get_by_role("link", name=name, exact=True).click()
    visit.page.get_by_label("I am sure").check()
    visit.page.get_by_role("button", name="Revoke the key").click()
    expect(visit.page.locator("main .state").first).to_have_text("revoked")


def see_refusal(chat: ChatPage) -> None:
    revoked_s = time.monotonic()
    while chat.error.inner_text() == "":
        assert time.monotonic() - revoked_s <= REVOKED_WITHIN_S, "it is still answered"
        chat.set("Max tokens", "1")
        chat.ask("Still there?")
        chat.settle()
    expect(chat.error).to_contain_text("revoked")
    expect(chat.message).to_have_value("Still there?")


def test_the_way_to_an_answer_needs_no_mouse(visit: Visit) -> None:
    visit.go("/ui/sign-in")
    page = visit.page
    page.keyboard.type(site_key(visit))
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui")
    walk_to(page, page.get_by_role("link", name="Chat"))
    page.keyboard.press("Enter")
    chat = ChatPage(page)
    expect(chat.message).to_be_focused()
    walk_to(page, chat.model, "Shift+Tab")
    page.keyboard.type(ECHO)
    expect(chat.model).to_have_value(ECHO)
    walk_to(page, chat.message)
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(chat.texts).to_contain_text("by hand")
    chat.settle()
    shown = page.get_by_role("button", name="Show as code")
    walk_to(page, shown, "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(shown).to_be_focused()


def site_key(visit: Visit) -> str:
    return visit.site.owner_key


def walk_to(page: Page, wanted: Locator, key: str = "Tab") -> None:
    """Go from stop to stop, each of which must be seen, until the wanted one has the focus."""
    for _ in range(MAX_STEPS):
        page.keyboard.press(key)
        is_there, outline = wanted.evaluate(_FOCUS)
        assert outline != "none", "it cannot be seen where the focus is"
        if is_there:
            return
    pytest.fail("the keyboard does not lead there")
