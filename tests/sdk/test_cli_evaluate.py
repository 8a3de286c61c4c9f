from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lmaas.cli import main
from sdk.fake_vllm import BASE, FakeEngine, likes
from sdk.task_fixtures import engine

__all__ = ["engine"]


@pytest.fixture
def data(tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LMAAS_BASE_URL", BASE)
    engine.logprob = likes(cat=0.8, dog=0.2)
    path = tmp_path / "pets.jsonl"
    rows = [{"text": "it purrs", "label": "cat"}] * 3 + [{"text": "it barks", "label": "dog"}] * 2
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_two_models_are_compared_in_a_table(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "classification", "--data", data, "--model", "a", "--model", "b"]
    assert main([*arguments, "--draws", "200", "--price", "a=0.10,0.40"]) == 0
    shown = capsys.readouterr()
    assert "baseline: majority" in shown.out
    assert "0.60 [" in shown.out
    assert "cannot be told apart in macro_f1" in shown.out
    assert "! Only 5 examples" in shown.err


def test_json_and_markdown_are_whole_reports(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.jsonl"
    arguments = ["evaluate", "classification", "--data", data, "--model", "a", "--draws", "200"]
    assert (
        main(
            [
                *arguments,
                "--json",
                "--outcomes",
                str(answers),
                "--labels",
                "cat=purrs",
                "--labels",
                "dog=barks",
            ]
        )
        == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in report["rows"]] == ["baseline: majority", "a"]
    assert len(answers.read_text().splitlines()) == 10
    assert main([*arguments, "--markdown", "--calibrate", "--max-tokens", "4"]) == 0
    assert capsys.readouterr().out.startswith("### classification: 5 examples, pets.jsonl")


def test_the_fast_way_has_no_probabilities(
    data: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = lambda _: "cat"
    assert main(["evaluate", "classification", "--data", data, "--model", "a", "--fast", "--json"]) == 0
    assert "ece" not in json.loads(capsys.readouterr().out)["rows"][1]["scores"]


def test_bundled_examples_are_there_and_said_to_be_synthetic(
    data: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = lambda _: "今天"
    assert main(["evaluate", "translation", "--bundled", "en-zh", "--model", "a", "--draws", "200"]) == 0
    shown = capsys.readouterr()
    assert "20 synthetic examples" in shown.out
    assert "synthetic" in shown.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "/nowhere.jsonl"], "cannot read /nowhere.jsonl: No such file"),
        (["--bundled", "fr"], "there are no examples of classification in 'fr'"),
        (["--bundled", "en", "--labels", "a,b"], "--labels go with --data"),
        (["--bundled", "en", "--price", "a=x"], "--price 'a=x' is not understood"),
        (["--bundled", "en", "--price", "z=1,2"], "--price names 'z', which is no --model"),
        (["--bundled", "en", "--draws", "1"], "draws is 1; give 100 or more"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_two(
    arguments: list[str], told: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "classification", "--model", "a", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "classification", "--data", data, "--model", "a", "--draws", "200"]
    assert main([*arguments, "--outcomes", "/nowhere/answers"]) == 2
    assert "cannot write /nowhere/answers: No such file" in capsys.readouterr().err


def test_a_model_that_never_answers_is_exit_code_one(
    data: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = lambda _: RuntimeError("broken")
    arguments = ["evaluate", "classification", "--data", data, "--model", "a", "--fast", "--draws", "200"]
    assert main(arguments) == 1
    assert "100% of the calls failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "task", "language"), [("numpy", "sentiment", "en"), ("sacrebleu", "translation", "en-zh")]
)
def test_a_missing_package_is_named_with_what_installs_it(package: str, task: str, language: str) -> None:
    program = f"""
import sys
sys.modules[{package!r}] = None
from lmaas.cli import main
sys.exit(main(["evaluate", {task!r}, "--bundled", {language!r}, "--model", "m"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"lmaas: Evaluating needs {package}: pip install 'lmaas[choose]'.\n"
