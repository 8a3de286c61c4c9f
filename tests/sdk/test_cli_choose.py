"""Tests of `lmaas choose`: from a file, from answers to its questions, and of what files get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmaas import ConfigurationError
from lmaas.cli import _interview, main
from lmaas.cli._errors import CommandError
from lmaas.selection import Choice, Kind, Status
from sdk.selection_worlds import TODAY

_CHOICE: dict[str, Any] = {
    "task": {"kind": "chat"},
    "workload": {"prompt_tokens": 1000, "output_tokens": 1000, "calls_per_s": 1, "slo": {"ttft_s": 1.0}},
    "rules": {"max_usd_per_month": 9000},
    "preferences": {
        "weights": {"performance": 2, "cost": 1},
        "anchors": {"usd_per_month": {"best": 0, "worst": 9000}},
    },
    "candidates": [
        {
            "platform": "here",
            "model": "small",
            "base_url": "http://127.0.0.1:9/v1",
            "price": {"input_per_million": 1, "output_per_million": 1},
            "attested": {"soc2": True},
        },
        {
            "platform": "there",
            "model": "small",
            "base_url": "http://127.0.0.2:9/v1",
            "price": {"input_per_million": 0.5, "output_per_million": 0.5, "source": "a contract"},
            "evidence": [{"metric": "ttft_p95_s", "value": 3.0, "grade": "A", "source": "a stopwatch"}],
        },
    ],
    "evidence": ["measured.json"],
    "draws": 500,
}


def write(folder: Path, **changes: Any) -> Path:
    told = {"metric": "ttft_p95_s", "value": 0.4, "low": 0.35, "high": 0.5, "grade": "A", "source": "bench"}
    quality = {"metric": "quality", "value": 0.9, "grade": "A", "source": "evaluate"}
    failures = {"metric": "error_rate", "value": 0.0, "grade": "A", "n": 500, "source": "bench"}
    measured = {"here/small": [told, quality, failures], "elsewhere/small": [told]}
    (folder / "measured.json").write_text(json.dumps({"evidence": measured}))
    path = folder / "choice.yaml"
    path.write_text(yaml.safe_dump(_CHOICE | changes, sort_keys=False))
    return path


def test_file_is_read_and_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", str(write(tmp_path))]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Take here/small")
    assert f"again: lmaas choose {tmp_path / 'choice.yaml'} --seed 1" in out


def test_what_is_known_of_a_model_anywhere_is_how_good_it_is_and_not_how_quick(tmp_path: Path) -> None:
    path = write(tmp_path)
    told = [
        {"metric": "ttft_p95_s", "value": 0.1, "grade": "A", "source": "bench"},
        {"metric": "quality", "value": 0.8, "grade": "A", "source": "evaluate"},
    ]
    (tmp_path / "measured.json").write_text(json.dumps({"evidence": {"small": told}}))
    evidence = Choice.load(path).evidence
    assert [one.metric for one in evidence["here/small"]] == ["quality"]
    assert [(one.metric, one.value) for one in evidence["there/small"]] == [
        ("ttft_p95_s", 3.0),
        ("quality", 0.8),
    ]


def test_every_format_is_written_by_its_ending(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    for ending, start in ((".json", "{"), (".md", "# Take"), (".html", "<!doctype html>"), (".txt", "Take")):
        report = tmp_path / f"report{ending}"
        assert main(["choose", str(path), "--output", str(report)]) == 0
        assert report.read_text("utf-8").startswith(start)
    assert main(["choose", str(path), "--format", "json", "--seed", "7", "--draws", "50"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert (plain["seed"], plain["draws"]) == (7, 50)
    assert plain["command"].endswith("--seed 7")


def test_gateway_configuration_is_written_beside(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    assert main(["choose", str(write(tmp_path)), "--gateway-config", str(config)]) == 0
    assert yaml.safe_load(config.read_text())["models"][0]["replicas"] == [{"url": "http://127.0.0.1:9"}]


def test_none_that_passes_exits_with_1(tmp_path: Path) -> None:
    assert main(["choose", str(write(tmp_path, rules={"regions": ["eu"]}))]) == 1


def test_file_can_state_criteria_machines_and_a_catalogue_of_its_own(tmp_path: Path) -> None:
    facts = {"is_self_hosted": True, "tools": True, "source": "us", "models": {"m": {"tools": True}}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"platforms": {"own": facts}}))
    (tmp_path / "day.yaml").write_text(
        yaml.safe_dump({"prompt_tokens": 10, "output_tokens": 10, "calls_per_s": 2})
    )
    goodput = {"metric": "goodput_per_s", "value": 4.0, "grade": "A", "source": "bench"}
    own = {"platform": "own", "model": "m", "fleet": {"usd_per_gpu_hour": 1}, "evidence": [goodput]}
    criterion = {"metric": "usd_per_month", "best": 0, "worst": 1000, "weight": 1}
    path = write(
        tmp_path,
        catalogue="own.yaml",
        workload="day.yaml",
        candidates=[own | {"name": "ours", "overheads": {"ops_hours_per_month": 2}}],
        preferences={"criteria": [criterion], "certainty": "firm"},
        rules={"needs": ["tools"], "self_hosted": True},
        evidence=[],
    )
    selection = Choice.load(path, today=TODAY).select()
    assert selection.answer.kind is Kind.WINNER
    bill = selection.option("ours").spending.bill("expected")
    assert bill is not None
    assert bill.total_usd == pytest.approx(730)


def one(**facts: Any) -> dict[str, Any]:
    """A file with one candidate of which something more is told."""
    return {"candidates": [_CHOICE["candidates"][0] | facts]}


def priced(**rates: float) -> dict[str, Any]:
    return one(price={"input_per_million": 1, "output_per_million": 1} | rates)


def told(**figure: Any) -> dict[str, Any]:
    return one(evidence=[{"grade": "A", "source": "a stopwatch"} | figure])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "red"}, r"choice.yaml, line 43: colour: there is no such field"),
        ({"task": {"kinds": "chat"}}, r"line 2: task.kinds: there is no such field"),
        ({"draws": "many"}, r"draws: Input should be a valid integer"),
        ({"draws": 0}, r"line 42: draws: Input should be greater"),
        (
            {"task": {"minimum_quality": 85}},
            r"line 1: task: .*minimum_quality is 85; give a share from 0 to 1",
        ),
        ({"rules": {"max_usd_per_month": -1}}, r"rules: max_usd_per_month is -1; give a number"),
        (priced(input_per_million=-1), r"candidates.0.price.input_per_million: Input should be greater"),
        (
            one(fleet={"usd_per_gpu_hour": -1}),
            r"candidates.0.fleet.usd_per_gpu_hour: Input should be greater",
        ),
        (
            one(fleet={"usd_per_gpu_hour": 1, "spares": 1}),
            r"choice.yaml: here/small: fleet: max_replicas is 1",
        ),
        (one(overheads={"egress_usd_per_gb": -1}), r"candidates.0.overheads: .*not below 0"),
        (
            told(metric="quality", value=85),
            r"candidates.0.evidence.0: evidence of quality: value is 85; give a",
        ),
        (told(metric="ttft_p95_s", value=-1), r"evidence of ttft_p95_s: value is -1"),
        (told(metric="ttft", value=1), r"there is no metric 'ttft'"),
        (told(metric="headroom", value=9), r"evidence of headroom: it is computed"),
        (one(evidence=["good"]), r"evidence.0: evidence is a mapping"),
        ({"candidates": []}, r"candidates: .*at least 1"),
        ({"candidates": [{"platform": "nowhere", "model": "m"}]}, r"there is no platform 'nowhere'"),
        ({"rules": {"needs": ["wings"]}}, r"rules.needs.0"),
        ({"evidence": ["none.json"]}, r"none.json cannot be read"),
        ({"evidence": ["choice.yaml"]}, r"evidence"),
        ({"workload": {"prompt_tokens": 1}}, r"output_tokens"),
        ({"preferences": {"anchors": {"beauty": {"best": 1, "worst": 0}}}}, r"no metric 'beauty'"),
        (
            {
                "preferences": {
                    "weights": {"cost": 1},
                    "criteria": [{"metric": "quality", "best": 1, "worst": 0, "weight": 1}],
                }
            },
            r"either criteria, or weights",
        ),
    ],
)
def test_what_a_file_gets_wrong_is_told_with_its_place(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigurationError, match=said):
        Choice.load(path)


def test_evidence_of_a_report_that_is_none_is_refused_by_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    for content, said in (
        ({"evidence": {"here/small": [1]}}, "measured.json: evidence is a mapping"),
        ({"evidence": {"here/small": [{"metric": "quality"}]}}, "measured.json: evidence of quality"),
        ({"results": []}, "measured.json: holds no `evidence`"),
        ({"evidence": {"far/large": []}}, "measured.json: is about far/large, and none of these"),
    ):
        (tmp_path / "measured.json").write_text(json.dumps(content))
        with pytest.raises(ConfigurationError, match=said):
            Choice.load(path)


def test_wrong_file_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", str(write(tmp_path, colour="red"))]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_nobody_to_ask_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose"]) == 2
    assert "give a file" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    assert main(["choose", str(path), "--output", str(tmp_path / "no" / "folder.md")]) == 2
    assert "cannot be written" in capsys.readouterr().err


class Person:
    """Answers by what a question begins with; an empty answer otherwise."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        for start, answers in self.answers.items():
            if question.strip().startswith(start) and answers:
                return answers.pop(0)
        return ""


def test_interview_with_defaults_makes_a_file_that_answers(tmp_path: Path) -> None:
    person = Person(Candidates=["lmaas/smollm2-135m-instruct"])
    path = _interview.interview(person, tmp_path / "choice.yaml")
    choice = Choice.load(path)
    assert choice.workload.calls_per_s == 1
    assert choice.workload.peak_calls_per_s == pytest.approx(3)
    assert choice.rules.regions == ()
    assert choice.select().answer.kind is Kind.WINNER
    with pytest.raises(CommandError, match="there already"):
        _interview.interview(person, path)


def test_interview_asks_again_until_a_number_is_one(tmp_path: Path) -> None:
    person = Person(
        Candidates=["lmaas/smollm2-135m-instruct, lmaas/all-minilm-l6-v2"],
        Calls=["a lot", "-1", "5"],
        And=["10"],
        Share=["2", "0.99"],
        Regions=["eu, us"],
        Only=["yes"],
        cost=["4"],
    )
    told = yaml.safe_load(_interview.interview(person, tmp_path / "c.yaml").read_text())
    assert told["workload"]["calls_per_s"] == 5
    assert told["workload"]["slo"] == {"availability": 0.99}
    assert told["rules"] == {"regions": ["eu", "us"], "self_hosted": True}
    assert told["preferences"]["weights"]["cost"] == 4
    assert len(told["candidates"]) == 2


@pytest.mark.parametrize("names", ["", "smollm2"])
def test_interview_without_candidates_is_refused(tmp_path: Path, names: str) -> None:
    with pytest.raises(CommandError):
        _interview.interview(Person(Candidates=[names]), tmp_path / "c.yaml")
    assert not (tmp_path / "c.yaml").exists()


def test_a_terminal_gets_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["choose", str(write(tmp_path))]) == 0
    assert "--output report.html" in capsys.readouterr().out


def test_the_file_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "choosing.md").read_text("utf-8")
    (tmp_path / "choice.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    told = {"metric": "quality", "value": 0.9, "grade": "A", "source": "evaluate"}
    for name in ("bench.json", "quality.json"):
        (tmp_path / name).write_text(json.dumps({"evidence": {"smollm2-135m-instruct": [told]}}))
    choice = Choice.load(tmp_path / "choice.yaml")
    assert len(choice.candidates) == 2
    assert choice.rules.max_usd_per_month == 2000


@pytest.mark.parametrize(
    ("hardware", "status", "reason"),
    [("L4", Status.PASS, "tokens of cache on L4"), ("T4", Status.FAIL, "GiB too little on each GPU of T4")],
)
def test_machines_are_sized_and_what_does_not_fit_fails(
    tmp_path: Path, hardware: str, status: Status, reason: str
) -> None:
    model = {"platform": "lmaas", "model": "meta-llama/Llama-3.1-8B-Instruct", "hardware": hardware}
    choice = Choice.load(write(tmp_path, candidates=[model], evidence=[], rules={}))
    (candidate,) = choice.candidates
    assert candidate.fleet is not None
    assert candidate.fleet.usd_per_gpu_hour > 0
    (option,) = choice.select().options
    check = option.checks[0]
    assert (check.rule, check.status) == ("fits the machines", status)
    assert reason in check.reason


def test_a_fleet_without_a_price_is_refused(tmp_path: Path) -> None:
    own = {"platform": "lmaas", "model": "m", "fleet": {"gpus": 2}}
    with pytest.raises(ConfigurationError, match="a fleet needs usd_per_gpu_hour"):
        Choice.load(write(tmp_path, candidates=[own], evidence=[]))
