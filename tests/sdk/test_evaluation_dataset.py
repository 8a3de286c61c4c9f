from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from lmaas.evaluation import Dataset, DatasetError, EvaluationError, TaskName
from lmaas.evaluation._dataset import BUNDLED_LANGUAGES
from lmaas.evaluation._kinds import KINDS, kind_of

BUNDLED = [(task, language) for task, languages in BUNDLED_LANGUAGES.items() for language in languages]


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "mine.jsonl"
    text = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(text), "utf-8")
    return path


def fault(task: Any, tmp_path: Path, *lines: object, **options: Any) -> str:
    with pytest.raises(DatasetError) as raised:
        Dataset.load(task, written(tmp_path, *lines), **options)
    return str(raised.value)


@pytest.mark.parametrize(("task", "language"), BUNDLED)
def test_bundled_examples_are_twenty_marked_as_synthetic(task: Any, language: str) -> None:
    dataset = Dataset.bundled(task, language)
    assert len(dataset.examples) == 20
    assert dataset.is_synthetic
    texts = [example.model_dump_json() for example in dataset.examples]
    assert len(set(texts)) == 20
    assert len(kind_of(task)(dataset.examples).baseline().predictions) == 20


def test_every_task_has_a_name_and_bundled_examples() -> None:
    assert set(KINDS) == set(get_args(TaskName)) == set(BUNDLED_LANGUAGES)


def test_faults_are_told_with_their_lines_and_without_the_text(tmp_path: Path) -> None:
    told = fault(
        "classification",
        tmp_path,
        {"text": "a", "label": "x"},
        "",
        {"text": "my secret", "lable": "x"},
        '{"text": ',
        "[1]",
        {"text": " ", "label": "x"},
        {"text": "my secret", "label": 7},
    )
    assert told.startswith("mine.jsonl: line 3: label: Field required; line 4 is no JSON: ")
    assert "line 5 is no JSON object; line 6: text: String should match" in told
    assert "line 7: label: Input should be a valid string." in told
    assert "secret" not in told


def test_of_many_faults_the_first_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    told = fault("sentiment", tmp_path, *[{"text": "a", "label": "happy"}] * 9)
    assert told.count("line ") == 5
    assert told.endswith("; and 4 more.")


def test_an_unknown_field_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    told = fault("sentiment", tmp_path, {"text": "a", "label": "positive", "stars": 5})
    assert "line 1: stars: no such field; there are text, label" in told


def test_a_quote_finds_its_place_if_there_is_only_one(tmp_path: Path) -> None:
    line = {"text": "Ada met Bob. Ada left.", "entities": [{"text": "Bob", "type": "person"}]}
    (example,) = Dataset.load("entities", written(tmp_path, line)).examples
    assert example.spans() == [(8, 11, "person")]  # type: ignore[attr-defined]  # an example of entities
    line["entities"] = [{"text": "Ada", "type": "person"}]
    assert "a quote stands in the text 2 times; give its start and end" in fault("entities", tmp_path, line)
    line["entities"] = [{"text": "Eve", "type": "person"}]
    assert "a quote does not stand in the text" in fault("entities", tmp_path, line)
    line["entities"] = [{"text": "Ada", "start": 1, "end": 4, "type": "person"}]
    assert "the text does not have the quote at [1:4]" in fault("entities", tmp_path, line)
    line["entities"] = [{"start": 20, "end": 99, "type": "person"}]
    assert "[20:99] is no piece of a text of 22 characters" in fault("entities", tmp_path, line)


def test_a_role_out_of_place_is_told(tmp_path: Path) -> None:
    arguments = [{"role": "agent", "text": "Eve"}]
    line = {"text": "Ada left.", "predicates": [{"text": "left", "arguments": arguments}]}
    assert "a quote does not stand in the text" in fault("semantic_roles", tmp_path, line)


@pytest.mark.parametrize("relevant", [[2], {"5": 1}, {"0": 0}])
def test_a_relevant_document_that_is_not_there_is_refused(tmp_path: Path, relevant: object) -> None:
    line = {"query": "q", "documents": ["a", "b"], "relevant": relevant}
    assert "is not one of 2" in fault("retrieval", tmp_path, line)


def test_examples_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    one = {"text": "a", "label": "x"}
    assert "all examples have the same label" in fault("classification", tmp_path, one, one)
    other = {"text": "b", "label": "y"}
    assert "'y', which is not among those given" in fault(
        "classification", tmp_path, one, other, names=["x", "z"]
    )
    assert "sentiment has no labels" in fault(
        "sentiment", tmp_path, {"text": "a", "label": "positive"}, names=["x"]
    )
    assert "no example has an entity" in fault("entities", tmp_path, {"text": "a", "entities": []})
    bare = {"text": "It rains.", "predicates": [{"text": "rains", "arguments": []}]}
    assert "no example has an argument" in fault("semantic_roles", tmp_path, bare)
    assert "has no examples" in fault("sentiment", tmp_path, "", " ")


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such file"):
        Dataset.load("sentiment", tmp_path / "none.jsonl")
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match="not UTF-8"):
        Dataset.load("sentiment", bad)
    with pytest.raises(EvaluationError, match="there is no task 'poetry'; there are classification"):
        Dataset.load("poetry", bad)  # type: ignore[arg-type]  # the mistake that is meant
    with pytest.raises(DatasetError, match="no examples of sentiment in 'fr'; there are en, zh"):
        Dataset.bundled("sentiment", "fr")


def test_depth_without_end_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    assert "line 1" in fault("sentiment", tmp_path, "[" * 100_000)


def test_the_same_examples_have_the_same_digest_wherever_they_are_from(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "positive"}, {"label": "negative", "text": "b"}]
    loaded = Dataset.load("sentiment", written(tmp_path, *rows))
    assert loaded.sha256 == Dataset.of("sentiment", rows).sha256
    assert loaded.sha256 != Dataset.of("sentiment", rows[:1]).sha256
