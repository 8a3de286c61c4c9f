from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from lmaas import LMaaS
from lmaas.cli import main
from lmaas.cli._conversation import Conversation, Sampling
from lmaas.cli._repl import Repl
from sdk.fake_service import BASE, MODELS, FakeService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import respx


@pytest.fixture
def service(respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    respx_mock._assert_all_called = False  # most tests need only some of the routes
    monkeypatch.setenv("LMAAS_BASE_URL", BASE)
    return FakeService(respx_mock)


@pytest.fixture
def conversation(service: FakeService) -> Iterator[Conversation]:
    with LMaaS(base_url=BASE, max_retries=0) as client:
        yield Conversation(client, "talker", Sampling())


def typing(*lines: str | type[BaseException]) -> Callable[[str], str]:
    """A person who types these lines, or presses what raises these exceptions, and then leaves."""
    left = list(lines)

    def ask(prompt: str) -> str:
        assert prompt == "> "
        line = left.pop(0) if left else EOFError
        if isinstance(line, str):
            return line
        raise line

    return ask


def contents(chat: dict[str, list[dict[str, str]]]) -> list[str]:
    return [message["content"] for message in chat["messages"]]


def test_message_is_answered_by_the_first_chat_model(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "-m", "Hi"]) == 0
    assert capsys.readouterr() == ("Hello there.\n", "")
    assert service.chats == [
        {"messages": [{"role": "user", "content": "Hi"}], "model": "talker", "stream": True}
    ]


def test_options_travel_and_named_model_needs_no_list(service: FakeService) -> None:
    options = ["--system", "Be brief.", "--max-tokens", "5", "--temperature", "0"]
    assert main(["chat", "plain", "-m", "Hi", *options]) == 0
    (chat,) = service.chats
    assert chat["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (chat["model"], chat["max_tokens"], chat["temperature"]) == ("plain", 5, 0)
    assert not service.models.called


def test_piped_text_is_one_message(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Summarize:\n\na text\n"))
    assert main(["chat"]) == 0
    assert contents(service.chats[0]) == ["Summarize:\n\na text"]


@pytest.mark.parametrize("text", ["", " \n"])
def test_piped_nothing_is_refused_before_any_call(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert main(["chat"]) == 2
    assert "there is no message" in capsys.readouterr().err
    assert not service.models.called


def test_piped_bytes_that_are_no_text_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8"))
    assert main(["chat"]) == 2
    assert "standard input is not utf-8" in capsys.readouterr().err


def test_refusal_of_the_server_is_one_line_and_exit_code_1(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.refuses(400, "Too warm.", "invalid_request")
    assert main(["chat", "-m", "Hi"]) == 1
    assert capsys.readouterr() == ("", "lmaas: Too warm.\n")


def test_interrupted_message_ends_with_exit_code_130(service: FakeService) -> None:
    service.says("Hel", interrupted=True)
    assert main(["chat", "-m", "Hi"]) == 130


def test_server_without_a_chat_model_says_what_it_has(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.models.mock(return_value=httpx.Response(200, json={**MODELS, "data": MODELS["data"][:1]}))
    assert main(["chat", "-m", "Hi"]) == 2
    assert "no chat model; it serves embedder (embedding)" in capsys.readouterr().err


def test_conversation_remembers_what_was_said(service: FakeService, conversation: Conversation) -> None:
    Repl(conversation, ask=typing("Hi", "Again", "/exit", "never")).run()
    assert [contents(chat) for chat in service.chats] == [["Hi"], ["Hi", "Hello there.", "Again"]]


def test_reset_forgets_turns_and_keeps_the_system_message(
    service: FakeService, conversation: Conversation
) -> None:
    Repl(conversation, ask=typing("/system Be brief.", "Hi", "/reset", "Again", "/system", "More")).run()
    assert [contents(chat) for chat in service.chats] == [
        ["Be brief.", "Hi"],
        ["Be brief.", "Again"],
        ["Again", "Hello there.", "More"],
    ]


def test_interrupt_stops_the_answer_and_keeps_what_was_said(
    service: FakeService, conversation: Conversation, capsys: pytest.CaptureFixture[str]
) -> None:
    service.says("Once upon", interrupted=True)
    Repl(conversation, ask=typing("Tell a story", "Go on")).run()
    assert contents(service.chats[1]) == ["Tell a story", "Once upon", "Go on"]
    captured = capsys.readouterr()
    assert captured.out == "Once uponOnce upon\n"
    assert captured.err.count("(stopped)") == 2


def test_question_without_any_answer_is_not_remembered(
    service: FakeService, conversation: Conversation, capsys: pytest.CaptureFixture[str]
) -> None:
    service.refuses(400, "Too long.", "context_length_exceeded")
    Repl(conversation, ask=typing("x" * 9, "Hi")).run()
    assert contents(service.chats[1]) == ["Hi"]
    assert "Too long.; /reset begins anew" in capsys.readouterr().err


def test_interrupt_at_the_prompt_and_empty_lines_call_nobody(
    service: FakeService, conversation: Conversation, capsys: pytest.CaptureFixture[str]
) -> None:
    Repl(conversation, ask=typing(KeyboardInterrupt, "", "  ", "/help", "/nonsense x")).run()
    assert not service.chats
    said = capsys.readouterr().err
    assert "Ctrl-D leaves" in said
    assert "/reset" in said
    assert "There is no command /nonsense" in said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_begins_a_conversation_and_gets_no_control_characters(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal("Hi\n"))
    monkeypatch.setattr(sys, "stdout", screen)
    service.says("\x1b[2J\x1b]0;evil\x07ok\n\tdone\x9b")
    assert main(["chat"]) == 0
    assert screen.getvalue() == "> [2J]0;evilok\n\tdone\n> \n"
