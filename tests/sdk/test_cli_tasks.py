from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lmaas.cli import main
from sdk.fake_vllm import BASE, FakeEngine, likes
from sdk.hostile import DONE
from sdk.task_fixtures import engine

if TYPE_CHECKING:
    import respx

__all__ = ["engine"]

MODELS = {"data": [{"id": "e", "kind": "embedding"}, {"id": "m", "kind": "chat"}]}
COMMANDS: dict[str, list[str]] = {
    "complete": [],
    "classify": ["--labels", "cat,dog"],
    "sentiment": [],
    "entities": ["--types", "person"],
    "summarize": [],
    "translate": ["--to", "fr"],
    "answer": ["-q", "Who?"],
    "keywords": [],
    "similarity": ["--to", "b"],
}


@pytest.fixture(autouse=True)
def service(respx_mock: respx.MockRouter, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAAS_BASE_URL", BASE)
    respx_mock.get(f"{BASE}/models").respond(json=MODELS)


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_each_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"examples:\n  lmaas {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_gives_the_whole_result_as_json(
    command: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = lambda _: {"entities": [], "keywords": ["Ada"], "quote": "Ada.", "answer": "Ada"}
    assert main([command, "Ada.", "--json", *COMMANDS[command]]) == 0
    (row,) = rows(capsys)
    assert {"usage", "latency_s", "completions"} < row.keys()
    assert row["usage"]["calls"] >= 1


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_text_is_refused_before_any_call(
    command: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, " \n")
    assert main([command, *COMMANDS[command]]) == 2
    assert "there is no text" in capsys.readouterr().err
    assert engine.calls == []


def test_label_and_its_share_are_printed(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.logprob = likes(cat=0.06, dog=0.02)
    assert main(["classify", "Meow.", "--labels", "cat", "--labels", "dog"]) == 0
    assert capsys.readouterr().out == "cat\t0.750\n"


def test_fast_classification_prints_the_label_alone(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = lambda _: "dog"
    assert main(["classify", "x", "--fast", "--labels", "cat=says meow", "--labels", "dog=barks"]) == 0
    assert capsys.readouterr().out == "dog\n"
    assert "- cat: says meow" in engine.prompts()[0]


def test_sentiment_prints_label_and_score(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sentiment", "Nice.", "--calibrate"]) == 0
    label, score = capsys.readouterr().out.rstrip("\n").split("\t")
    assert label in {"positive", "neutral", "negative"}
    assert -1 <= float(score) <= 1


def test_entities_are_lines_and_dropped_ones_are_told(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = lambda _: {"entities": [{"text": t, "type": "person"} for t in ("Ada", "Bob")]}
    assert main(["entities", "I met Ada.", "--types", "person,city"]) == 0
    assert capsys.readouterr() == ("6\t9\tperson\tAda\n", "dropped, not in the text: Bob\n")


@pytest.mark.parametrize(
    ("said", "out", "err"),
    [
        ({"quote": "It is Ada.", "answer": "Ada"}, "Ada\n", "> It is Ada.\n"),
        ({"quote": "", "answer": ""}, "\n", "The text does not say.\n"),
        (
            {"quote": "Not there.", "answer": "Bob"},
            "Bob\n",
            "The quote of this answer is not in the text: do not trust it.\n",
        ),
    ],
)
def test_answer_goes_out_and_its_quote_beside(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str], said: object, out: str, err: str
) -> None:
    engine.answer = lambda _: said
    assert main(["answer", "It is Ada.", "-q", "Who?"]) == 0
    assert capsys.readouterr() == (out, err)


def test_summary_is_as_long_as_asked_for(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.answer = lambda _: "One. Two. Three."
    assert main(["summarize", "x", "--sentences", "2"]) == 0
    assert capsys.readouterr().out == "One. Two.\n"


def test_terms_of_a_translation_come_from_options_and_a_file(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    glossary = tmp_path / "terms.txt"
    glossary.write_text("dog = chien\n\n", "utf-8")
    engine.answer = lambda _: "Le chien."
    command = ["translate", "The dog. The cat.", "--to", "French", "--glossary", str(glossary)]
    assert main([*command, "--term", "cat=chat"]) == 0
    assert capsys.readouterr() == ("Le chien.\n", "the translation lacks: chat\n")
    assert main([*command, "--term", "cat"]) == 2
    assert "'cat' is no term" in capsys.readouterr().err


def test_keywords_are_lines_for_one_text_and_a_list_for_each_of_many(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.answer = lambda _: {"keywords": ["a", "b"]}
    assert main(["keywords", "a b", "-k", "2"]) == 0
    assert capsys.readouterr().out == "a\nb\n"
    typed(monkeypatch, "a b\n\nb a\n")
    assert main(["keywords", "--lines"]) == 0
    assert capsys.readouterr() == ("a, b\na, b\n", "")


def test_similarity_asks_the_embedding_model_and_tells_of_cuts(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.vector = lambda _: [1.0, 0.0]
    assert main(["similarity", "a", "--to", "b", "--to", "c"]) == 0
    assert capsys.readouterr() == ("1.0000\n1.0000\n", "")
    assert engine.bodies("/embeddings")[0]["model"] == "e"
    engine.max_model_len = 10
    assert main(["similarity", "a", "--to", "b" * 20]) == 0
    assert "only the beginning" in capsys.readouterr().err


def test_text_comes_from_words_files_and_standard_input(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("from a file\n", "utf-8")
    typed(monkeypatch, "from input\n")
    assert main(["summarize", "words", f"@{path}", "--file", str(path), "--file", "-"]) == 0
    assert "words\nfrom a file\nfrom a file\nfrom input\n" in engine.prompts()[0]
    typed(monkeypatch, "from a pipe\n")
    assert main(["summarize", "--model", "other"]) == 0
    assert engine.prompts()[1].startswith("from a pipe")
    assert engine.bodies("/chat/completions")[1]["model"] == "other"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_person_at_a_terminal_is_told_to_type(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("text\n"))
    assert main(["summarize"]) == 0
    assert capsys.readouterr().err == "Type the text; Ctrl-D ends it.\n"


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), (b"\xff\xfe", "not UTF-8")])
def test_file_that_cannot_be_read_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    assert main(["summarize", f"@{path}"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "text.txt" in err


def test_lines_are_texts_of_their_own_and_failures_stay_in_their_line(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(body: dict[str, Any]) -> object:
        prompt = body["messages"][-1]["content"]
        return ValueError("too long") if prompt.startswith("bad") else "a\nb" if "one" in prompt else "c"

    engine.answer = answer
    typed(monkeypatch, "one\nbad\ntwo\n")
    assert main(["summarize", "--lines"]) == 1
    assert capsys.readouterr() == ("a b\n\nc\n", "lmaas: text 2: too long\n")
    typed(monkeypatch, "one\nbad\ntwo\n")
    assert main(["summarize", "--lines", "--json"]) == 1
    first, second, third = rows(capsys)
    assert first["result"]["text"] == "a\nb"
    assert second == {"index": 1, "text": "bad", "error": "too long"}
    assert third["index"] == 2


def test_journal_spares_texts_that_are_done(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for _ in range(2):
        typed(monkeypatch, "one\ntwo\n")
        assert main(["summarize", "--lines", "--journal", str(tmp_path / "j"), "--concurrency", "1"]) == 0
    assert len(engine.prompts()) == 2


def test_journal_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["summarize", "a", "--lines", "--journal", str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["classify", "x", "--labels", "one"], ["summarize", "x", "--words", "0"], ["keywords", "x", "-k", "0"]],
)
def test_options_that_cannot_work_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("lmaas: ")


def test_failed_call_is_one_line_and_exit_code_1(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = lambda _: ValueError("too long")
    assert main(["summarize", "x"]) == 1
    assert capsys.readouterr() == ("", "lmaas: too long\n")


def test_continuation_is_streamed_as_it_comes(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    def event(text: str, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "text": text, "finish_reason": finish_reason}
        return (
            f"data: {json.dumps({'id': 'c', 'created': 1, 'model': 'm', 'choices': [choice]})}\n\n".encode()
        )

    body = event(" upon") + event(" a time", "stop") + DONE
    headers = {"content-type": "text/event-stream"}
    route = respx_mock.post(f"{BASE}/completions")
    route.mock(return_value=httpx.Response(200, content=body, headers=headers))
    assert main(["complete", "Once", "--stop", ".", "--max-tokens", "9", "--temperature", "0.5"]) == 0
    assert capsys.readouterr().out == " upon a time\n"
    sent = json.loads(route.calls.last.request.content)
    assert sent == {
        "model": "m",
        "prompt": "Once",
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.5,
        "stop": ["."],
    }


def test_continuations_of_many_texts(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "one\ntwo\n")
    assert main(["complete", "--lines", "--stop", "x"]) == 0
    assert capsys.readouterr().out == "and so on\nand so on\n"
    assert engine.bodies("/completions")[0]["stop"] == ["x"]
