"""The playground with a model that says what it is told: everything that a page can do with an answer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser.site import ECHO, HOSTILE
from browser.talking import unfold
from e2e.live_gateway import CHAT, EMBEDDING

if TYPE_CHECKING:
    from browser.talking import ChatPage
    from browser.visiting import Visit

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def chat(visit: Visit) -> ChatPage:
    """The owner, about to talk to the fake model."""
    visit.sign_in()
    return visit.chat(ECHO)


def sent_by(chat: ChatPage) -> list[dict[str, object]]:
    """Collect the bodies of the calls that a page makes from now on."""
    bodies: list[dict[str, object]] = []
    chat.page.on("request", lambda one: bodies.append(json.loads(one.post_data)) if one.post_data else None)
    return bodies


def test_an_answer_comes_with_its_tokens_its_times_and_the_id_that_explains_it(chat: ChatPage) -> None:
    chat.script("Good ", "day, ", "**you**")
    chat.ask("hello")
    expect(chat.texts).to_have_text("Good day, you")
    assert chat.texts.locator("strong").inner_text() == "you"
    expect(chat.notes()).to_have_count(0)
    reading = chat.answers.locator(".reading")
    expect(reading).to_contain_text("5 tokens in, 3 out")
    expect(reading).to_contain_text(re.compile(r"first token [\d.]+ s"))
    expect(reading).to_contain_text("tokens/s")
    link = reading.get_by_role("link")
    expect(link).to_have_text(re.compile(r"req_[0-9a-f]{32}"))
    assert link.get_attribute("href") == f"/ui/calls/{link.inner_text()}"


def test_a_conversation_is_sent_whole_with_the_parameters_that_were_filled_in(chat: ChatPage) -> None:
    bodies = sent_by(chat)
    chat.set("System prompt", "Be short.")
    chat.set("Temperature", "0.5")
    chat.set("Max tokens", "3")
    chat.ask("one two three")
    expect(chat.texts).to_have_text("one two three")
    expect(chat.notes()).to_have_text("Cut off: the answer reached its limit of tokens.")
    chat.settle()
    chat.ask("four")
    expect(chat.texts).to_have_text(["one two three", "four four four"])
    chat.settle()
    assert bodies[-1] == {
        "model": ECHO,
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "one two three"},
            {"role": "assistant", "content": "one two three"},
            {"role": "user", "content": "four"},
        ],
        "temperature": 0.5,
        "max_tokens": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_parameter_that_cannot_be_sent_is_named_and_nothing_is_sent(chat: ChatPage) -> None:
    bodies = sent_by(chat)
    chat.set("Top p", "7")
    chat.ask("hello")
    expect(chat.error).to_have_text("Top p: is out of range")
    expect(chat.page.get_by_label("Top p")).to_be_focused()
    assert bodies == []
    expect(chat.message).to_have_value("hello")


def test_a_broken_answer_is_shown_as_one_and_not_sent_again(chat: ChatPage) -> None:
    bodies = sent_by(chat)
    chat.set_extra({"fake": {"text": "Once", "tokens": 1, "ending": "eof"}})
    chat.ask("a story")
    expect(chat.error).not_to_be_empty()
    expect(chat.texts).to_have_text("Once")
    expect(chat.notes()).to_contain_text("broke off")
    chat.set_extra({})
    chat.ask("again")
    chat.settle()
    assert bodies[-1]["messages"] == [{"role": "user", "content": "again"}]


def test_a_question_that_is_refused_can_be_sent_again_and_the_refusal_explained(chat: ChatPage) -> None:
    chat.set_extra({"chat_template": "x"})
    chat.ask("hello")
    expect(chat.error).to_contain_text("chat_template")
    expect(chat.error.get_by_role("link")).to_have_text(re.compile("^req_"))
    expect(chat.message).to_have_value("hello")
    expect(chat.answers).to_have_count(0)
    expect(chat.questions).to_have_count(0)


def test_two_models_answer_side_by_side(chat: ChatPage) -> None:
    chat.set("Max tokens", "2")
    chat.ask("hello you")
    expect(chat.texts).to_have_text("hello you")
    chat.settle()
    chat.page.get_by_label("Side by side").check()
    chat.page.get_by_role("combobox", name="Model B").select_option(HOSTILE)
    chat.ask("and both")
    for name in ("Model A", "Model B"):
        log = chat.page.get_by_role("log", name=f"Conversation with {name}")
        expect(log.locator(".assistant .text:not(.plain)")).to_have_text(["hello you", "and both"])
    chat.settle()
    chat.page.get_by_label("Side by side").uncheck()
    expect(chat.texts).to_have_text(["hello you", "and both"])


def test_a_call_of_a_tool_is_shown_and_its_result_sent_back(chat: ChatPage) -> None:
    bodies = sent_by(chat)
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"a": 1}'},
    }
    chat.script({"tool_calls": [call]}, finish_reason="tool_calls")
    unfold(chat.page, "Tools")
    chat.page.get_by_label("Tools", exact=True).fill(json.dumps([TOOL]))
    chat.ask("weather?")
    expect(chat.answers.locator(".call")).to_contain_text("weather")
    chat.settle()
    chat.script("It rains.")
    chat.page.get_by_label("Result of weather").fill("rain")
    chat.page.get_by_role("button", name="Send results").click()
    expect(chat.texts.last).to_have_text("It rains.")
    chat.settle()
    assert bodies[-1]["tools"] == [TOOL]
    assert bodies[-1]["messages"][-1] == {"role": "tool", "content": "rain", "tool_call_id": "call_1"}  # type: ignore[index]  # JSON


def test_an_answer_is_judged_and_the_judgement_kept_with_its_call(chat: ChatPage, visit: Visit) -> None:
    bodies = sent_by(chat)
    chat.script("Good day.")
    chat.ask("hello")
    chat.settle()
    helpful = chat.page.get_by_role("button", name="Helpful", exact=True)
    helpful.click()
    expect(helpful).to_have_attribute("aria-pressed", "true")
    expect(chat.status).to_have_text("Thank you: noted with this call.")
    request_id = chat.answers.get_by_role("link").inner_text()
    assert bodies[-1] == {"request_id": request_id, "thumbs": "up"}
    chat.page.reload()
    expect(helpful).to_have_attribute("aria-pressed", "true")


def test_json_of_a_schema_is_asked_for_and_checked(chat: ChatPage) -> None:
    bodies = sent_by(chat)
    chat.page.get_by_label("Answer format").select_option("json_schema")
    chat.set("JSON schema", '{"type": "object"}')
    chat.script('{"a": ', "1}")
    chat.ask("json")
    expect(chat.notes()).to_have_text("Valid JSON.")
    chat.settle()
    chat.script('{"a": ')
    chat.ask("json")
    expect(chat.notes()).to_have_text(["Valid JSON.", "Not valid JSON."])
    assert bodies[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}  # type: ignore[index]  # JSON


def test_a_conversation_outlives_a_reload_in_this_browser_until_it_is_cleared(
    chat: ChatPage, visit: Visit
) -> None:
    chat.set("Max tokens", "2")
    chat.ask("remember me")
    expect(chat.texts).to_have_text("remember me")
    chat.settle()
    chat.page.reload()
    expect(chat.texts).to_have_text("remember me")
    expect(chat.model).to_have_value(ECHO)
    expect(chat.page.get_by_label("Max tokens")).to_have_value("2")
    chat.page.get_by_role("button", name="Clear").click()
    expect(chat.answers).to_have_count(0)
    chat.page.reload()
    expect(chat.model).to_have_value(ECHO)
    expect(chat.answers).to_have_count(0)


def test_what_is_cleared_while_it_is_answered_does_not_come_back(chat: ChatPage) -> None:
    chat.set_extra({"fake": {"tokens": 1000, "token_gap_s": 0.02}})
    chat.ask("endless")
    expect(chat.texts).to_contain_text("endless endless")
    chat.page.get_by_role("button", name="Clear").click()
    chat.settle()
    expect(chat.answers).to_have_count(0)
    chat.page.reload()
    expect(chat.model).to_have_value(ECHO)
    expect(chat.questions).to_have_count(0)


def test_what_one_account_talked_about_another_does_not_see(chat: ChatPage, visit: Visit) -> None:
    chat.ask("a secret")
    expect(chat.texts).to_contain_text("a secret")
    chat.settle()
    visit.page.get_by_role("button", name="Sign out").click()
    visit.sign_in(visit.site.make_key("another")["secret"])
    other = visit.chat(ECHO)
    expect(other.answers).to_have_count(0)


def test_code_is_of_the_call_that_would_be_made(chat: ChatPage) -> None:
    chat.set("Temperature", "0.5")
    chat.message.fill('what\'s "this"?')
    chat.page.get_by_role("button", name="Show as code").click()
    code = chat.page.locator("#code-text")
    expect(code).to_contain_text('"content": "what\'s \\"this\\"?"')
    chat.page.get_by_label("Language").select_option("curl")
    expect(code).to_contain_text("what'\\''s")
    expect(code).to_contain_text(f"{chat.page.url.partition('/ui')[0]}/v1/chat/completions")
    chat.page.keyboard.press("Escape")
    expect(code).to_be_hidden()


def test_lines_are_compared_by_the_real_model(visit: Visit) -> None:
    visit.sign_in()
    visit.go("/ui/embeddings")
    expect(visit.page.get_by_role("combobox", name="Model")).to_have_value(EMBEDDING)
    visit.page.get_by_label("Lines to compare").fill("a kitten sleeps\n\na cat is asleep\ntax law")
    visit.page.get_by_role("button", name="Compare").click()
    cells = visit.page.locator("table.similarity tbody td")
    expect(cells).to_have_count(9)
    values = [float(text) for text in cells.all_inner_texts()]
    assert values[0] == values[4] == values[8] == 1
    assert values[1] == values[3] > 0.5 > values[2]
    expect(visit.page.locator("#reading")).to_contain_text("384 dimensions")
    expect(visit.page.locator("#reading").get_by_role("link")).to_have_text(re.compile("^req_"))


def test_the_page_speaks_chinese(visit: Visit) -> None:
    visit.sign_in()
    visit.page.get_by_role("button", name="中文").click()
    visit.go("/ui/chat")
    expect(visit.page.get_by_role("button", name="发送")).to_be_visible()
    expect(visit.page.get_by_role("combobox", name="模型")).to_have_value(CHAT)
    assert visit.page.locator("html").get_attribute("lang") == "zh-Hans"
