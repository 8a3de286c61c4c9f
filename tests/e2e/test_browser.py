"""A person talks to the model from a browser: the example page, on another origin, in real Chromium."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from playwright.sync_api import expect

from e2e.browsing import ChatPage, chromium, example_files, serving, stub_gateway, words
from e2e.live_gateway import CHAT, CORS_ORIGIN, LiveGateway
from gateway.processes import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.timeout(400)

OTHER_ORIGIN = "http://elsewhere.example"
RUNNING = "vllm:num_requests_running"
BROKEN_OFF = "The stream broke off: what is shown is only the beginning of the answer."


class OpenChat(Protocol):
    def __call__(
        self, base_url: str, *, origin: str = ..., fields: dict[str, object] = ..., **query: str
    ) -> ChatPage: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the module: while it is open, no other event loop can run in this thread."""
    with serving(example_files) as port, chromium([CORS_ORIGIN, OTHER_ORIGIN], port) as one:
        yield one


@pytest.fixture
def open_chat(browser: Browser) -> Iterator[OpenChat]:
    """Opens the example page, each time in a profile of its own."""
    contexts = []

    def open_it(
        base_url: str, *, origin: str = CORS_ORIGIN, fields: dict[str, object] | None = None, **query: str
    ) -> ChatPage:
        contexts.append(browser.new_context(viewport={"width": 800, "height": 700}))
        chat = ChatPage(contexts[-1].new_page())
        chat.open(origin, base_url, fields or {}, **query)
        return chat

    yield open_it
    for context in contexts:
        context.close()


@pytest.mark.engine
def test_answer_grows_while_the_real_model_writes_it(
    gateway: LiveGateway, open_chat: OpenChat, tmp_path: Path
) -> None:
    chat = open_chat(gateway.base_url, fields={"temperature": 0, "max_tokens": 40})
    expect(chat.model).to_have_value(CHAT)
    chat.ask("What is the capital of France?")
    expect(chat.answers).to_contain_text("Paris", timeout=30_000)
    expect(chat.send).to_be_enabled(timeout=30_000)
    expect(chat.error).to_be_empty()
    assert len(chat.lengths()) >= 3
    assert chat.page.screenshot(path=tmp_path / "chat.png").startswith(b"\x89PNG")


@pytest.mark.engine
def test_stop_frees_the_engine_within_a_second(gateway: LiveGateway, open_chat: OpenChat) -> None:
    chat = open_chat(gateway.base_url, fields={"max_tokens": 4000, "ignore_eos": True})
    expect(chat.model).to_have_value(CHAT)
    chat.ask("Tell a long story.")
    expect(chat.answers).to_contain_text(" ", timeout=30_000)
    until(lambda: gateway.engine_metric(CHAT, RUNNING) == 1)
    chat.stop.click()
    stopped_s = time.monotonic()
    until(lambda: gateway.engine_metric(CHAT, RUNNING) == 0)
    assert time.monotonic() - stopped_s <= 1.5
    expect(chat.status).to_have_text("Stopped.")
    expect(chat.error).to_be_empty()
    expect(chat.answers).not_to_be_empty()
    expect(chat.message).to_have_value("Tell a long story.")


@pytest.mark.engine
def test_origin_that_is_not_configured_is_refused_by_the_browser(
    gateway: LiveGateway, open_chat: OpenChat
) -> None:
    served = gateway.engine_metric(CHAT, "vllm:request_success_total")
    chat = open_chat(gateway.base_url, origin=OTHER_ORIGIN, model=CHAT)
    expect(chat.error).to_contain_text(f"LMAAS_CORS_ORIGINS={OTHER_ORIGIN}")
    chat.ask("hi")
    expect(chat.send).to_be_enabled()
    expect(chat.error).to_contain_text("No answer from")
    expect(chat.answers).to_have_count(0)
    assert sum("blocked by CORS policy" in line for line in chat.console) == 2
    assert gateway.engine_metric(CHAT, "vllm:request_success_total") == served


@pytest.mark.engine
def test_unknown_model_is_shown_with_the_gateways_message(gateway: LiveGateway, open_chat: OpenChat) -> None:
    chat = open_chat(gateway.base_url, model="smollm2-135m-instrukt")
    chat.ask("hi")
    expect(chat.error).to_contain_text("smollm2-135m-instrukt")
    expect(chat.error).to_contain_text(CHAT)
    expect(chat.answers).to_have_count(0)


def test_a_conversation_is_sent_whole_and_the_first_model_that_chats_is_taken(open_chat: OpenChat) -> None:
    stub = stub_gateway(
        {"choices": [{"delta": {"role": "assistant"}}]}, words("Good "), words("day", "stop"), "[DONE]"
    )
    with serving(stub) as port:
        chat = open_chat(f"http://127.0.0.1:{port}/v1/")
        expect(chat.model).to_have_value("talker")
        for number, question in enumerate(("hello", "and now?"), start=1):
            chat.ask(question)
            expect(chat.answers).to_have_text(["Good day"] * number)
            expect(chat.send).to_be_enabled()
    assert [call["model"] for call in stub.calls] == ["talker", "talker"]
    assert [(turn["role"], turn["content"]) for turn in stub.calls[-1]["messages"]] == [
        ("user", "hello"),
        ("assistant", "Good day"),
        ("user", "and now?"),
    ]


@pytest.mark.parametrize(
    ("events", "missing_bytes", "shown"),
    [
        ([words("Once")], 0, BROKEN_OFF),
        ([words("Once")], 1000, BROKEN_OFF),
        ([words("Once"), {"error": {"message": "The replica is gone."}}], 0, "The replica is gone."),
        ([words("Once"), {"error": {"message": "The core died."}}, "[DONE]"], 0, "The core died."),
    ],
    ids=["no terminal event", "connection breaks", "error event", "error event before a terminal one"],
)
def test_an_answer_that_is_not_whole_is_shown_as_an_error(
    events: list[dict[str, Any] | str], missing_bytes: int, shown: str, open_chat: OpenChat
) -> None:
    stub = stub_gateway(*events, missing_bytes=missing_bytes)
    with serving(stub) as port:
        chat = open_chat(f"http://127.0.0.1:{port}/v1")
        for answers in (["Once"], ["Once", "Once"]):
            stub.may_end.clear()
            chat.ask("a story")
            expect(chat.answers).to_have_text(answers)
            stub.may_end.set()
            expect(chat.error).to_have_text(shown)
            expect(chat.send).to_be_enabled()
    expect(chat.answers).to_have_text(["Once", "Once"])
    assert [len(call["messages"]) for call in stub.calls] == [1, 1], "half an exchange was sent again"


def test_an_answer_cut_at_its_limit_of_tokens_says_so(open_chat: OpenChat) -> None:
    with serving(stub_gateway(words("Once", "length"), "[DONE]")) as port:
        chat = open_chat(f"http://127.0.0.1:{port}/v1")
        chat.ask("a story")
        expect(chat.status).to_contain_text("Cut off")
        expect(chat.error).to_be_empty()


def test_markup_in_an_answer_stays_text(open_chat: OpenChat) -> None:
    markup = "<img src=x onerror=\"document.title = 'taken over'\"> &amp;"
    with serving(stub_gateway(words(markup, "stop"), "[DONE]")) as port:
        chat = open_chat(f"http://127.0.0.1:{port}/v1")
        chat.ask(markup)
        expect(chat.answers).to_have_text(markup)
        expect(chat.questions).to_have_text(markup)
        expect(chat.page).to_have_title("lmaas chat")
    assert chat.page.locator("img").count() == 0


def test_the_key_is_sent_as_a_bearer_token_and_kept_nowhere(open_chat: OpenChat) -> None:
    stub = stub_gateway(words("Yes", "stop"), "[DONE]")
    with serving(stub) as port:
        chat = open_chat(f"http://127.0.0.1:{port}/v1", model="talker")
        chat.key.fill("sk-0123456789abcdef")
        chat.ask("hi")
        expect(chat.answers).to_have_text("Yes")
        assert chat.page.context.storage_state() == {"cookies": [], "origins": []}
        chat.page.reload()
        expect(chat.key).to_have_value("")
    assert stub.keys == ["Bearer sk-0123456789abcdef"]
