from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from lmaas.cli import main
from sdk.fake_service import BASE, FakeService

if TYPE_CHECKING:
    import respx


@pytest.fixture
def service(respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    respx_mock._assert_all_called = False  # most tests need only some of the routes
    monkeypatch.setenv("LMAAS_BASE_URL", BASE)
    return FakeService(respx_mock)


@pytest.mark.parametrize(
    ("words", "model", "texts"),
    [
        (["one", "two"], "embedder", ["one", "two"]),
        (["embedder", "one"], "embedder", ["one"]),
        (["plain", "one"], "plain", ["one"]),
        (["--model", "plain", "embedder", "one"], "plain", ["embedder", "one"]),
    ],
)
def test_first_word_is_the_model_if_one_is_called_so(
    service: FakeService, words: list[str], model: str, texts: list[str]
) -> None:
    assert main(["embed", *words]) == 0
    assert [(call["model"], call["input"]) for call in service.embedded] == [(model, texts)]


def test_people_see_one_line_a_text_with_the_beginning_of_its_vector(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["embed", "one", "x" * 60])
    first, second = capsys.readouterr().out.splitlines()
    assert first.split(maxsplit=1) == ["one", "5 dimensions  +0.0000 +3.0000 +0.0000 +0.0000 …"]
    assert second.startswith("x" * 39 + "…  5 dimensions  +1.0000 +60.0000")


def test_lines_of_standard_input_become_lines_of_json(
    service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("één\n\ntwo\n"))
    assert main(["embed", "embedder", "--jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        {"index": 0, "text": "één", "embedding": [0, 3, 0, 0, 0.5]},
        {"index": 1, "text": "two", "embedding": [1, 3, 0, 0, 0.5]},
    ]


def test_many_texts_go_out_in_several_calls_and_come_back_in_order(
    service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{number}\n" for number in range(150))))
    assert main(["embed", "--jsonl"]) == 0
    assert [len(call["input"]) for call in service.embedded] == [64, 64, 22]
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["index"], row["text"]) for row in rows] == [(number, str(number)) for number in range(150)]


def test_whole_response_is_what_the_server_sent(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", "--json", "one"]) == 0
    reply = json.loads(capsys.readouterr().out)
    assert reply["model"] == "embedder"
    assert reply["data"] == [{"index": 0, "object": "embedding", "embedding": [0, 3, 0, 0, 0.5]}]


def test_nothing_to_embed_is_refused(
    service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert main(["embed"]) == 2
    assert "nothing to embed" in capsys.readouterr().err
    assert not service.embedded


def test_server_that_tells_no_kinds_gives_its_first_model(service: FakeService) -> None:
    models = {"object": "list", "data": [{"id": "only", "object": "model"}]}
    service.models.mock(return_value=httpx.Response(200, json=models))
    assert main(["embed", "one"]) == 0
    assert service.embedded[0]["model"] == "only"


def test_person_at_a_terminal_is_told_how_to_end_the_texts(
    service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = io.StringIO("one\n")
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", typed)
    assert main(["embed"]) == 0
    assert "Ctrl-D" in capsys.readouterr().err
