"""Markup in whatever others may write stays text: answers, names, parameters, feedback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser.hostile import CORPUS
from browser.site import ECHO, HOSTILE
from browser.visiting import PAGES

if TYPE_CHECKING:
    from browser.visiting import Visit

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

# What an answer may become: its own few elements, and nothing that loads, runs or leads anywhere.
FOREIGN = "script, img, svg, iframe, video, a, input, form, style, link, base, meta, object, template, math"


def test_markup_in_an_answer_stays_text(visit: Visit) -> None:
    visit.sign_in()
    chat = visit.chat(ECHO)
    answer = "\n\n".join(CORPUS)
    # In the middle of tags, too: what was shown of a half one must not run when the other half comes.
    chat.script(*(answer[start : start + 7] for start in range(0, len(answer), 7)))
    chat.ask(answer)
    chat.settle()
    assert chat.answers.locator(".text").locator(FOREIGN).count() == 0
    assert chat.questions.locator(FOREIGN).count() == 0
    # A browser shows no NUL, and takes CR for LF; everything else is there as it was written.
    assert chat.questions.locator(".text").evaluate("(shown) => shown.textContent") == answer
    shown = chat.texts.evaluate("(shown) => shown.textContent")
    assert all(f"window.hacked=1{end}" in shown for end in ("</script>", ">", '"'))
    assert not visit.is_hacked()


def test_markup_that_was_kept_stays_text_when_it_is_shown_again(visit: Visit) -> None:
    visit.sign_in()
    chat = visit.chat(ECHO)
    chat.set("System prompt", CORPUS[1])
    chat.script(CORPUS[1])
    chat.ask(CORPUS[0])
    chat.settle()
    chat.page.reload()
    expect(chat.texts).to_have_text(CORPUS[1])
    expect(chat.page.get_by_label("System prompt")).to_have_value(CORPUS[1])
    assert not visit.is_hacked()


@pytest.mark.parametrize("deltas", ["tool", "reasoning", "error"])
def test_markup_elsewhere_in_a_stream_stays_text(visit: Visit, deltas: str) -> None:
    visit.sign_in()
    chat = visit.chat(ECHO)
    markup = CORPUS[1]
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": markup, "arguments": markup}}
    if deltas == "tool":
        chat.script({"tool_calls": [call]}, finish_reason="tool_calls")
    elif deltas == "reasoning":
        chat.script({"reasoning": markup}, "yes")
    else:
        chat.set_extra({"fake": {"status": 400, "body": json.dumps({"error": {"message": markup}})}})
    chat.ask("go")
    chat.settle()
    expect(chat.page.locator("main")).to_contain_text(markup)
    assert chat.answers.locator("img").count() == 0
    assert not visit.is_hacked()


def test_a_model_whose_name_is_markup_is_named_on_every_page(visit: Visit) -> None:
    visit.sign_in()
    chat = visit.chat(HOSTILE)
    chat.ask("hello")
    chat.settle()
    expect(chat.answers.locator(".speaker")).to_have_text(HOSTILE)
    for path in PAGES.values():
        visit.go(path)
        assert visit.page.locator("img[src=x]").count() == 0
        assert not visit.is_hacked(), path
