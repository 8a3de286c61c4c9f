from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmaas.cli import main

WORKLOAD = "prompt_tokens: 20\noutput_tokens: 3\ncalls_per_s: 20\nslo: {ttft_s: 5}\n"
QUICK = ("--seconds", "0.4", "--warmup", "0.1", "--blocks", "1")


@pytest.fixture(scope="module")
def replica() -> Iterator[str]:
    """The base URL of a fake replica in a process of its own: the command has the event loop of this one."""
    command = [sys.executable, "-m", "lmaas_gateway.testing", "--model", "m", "--itl-ms", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip() + "/v1"
        process.terminate()


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "w.yaml"
    path.write_text(WORKLOAD)
    return path


def test_bench_writes_its_reports_and_goes_on_where_it_was(
    replica: str, workload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = ["bench", f"here={replica}", "--workload", str(workload), "--output", str(folder), *QUICK]
    assert main([*arguments, "--png"]) == 0
    captured = capsys.readouterr()
    assert "Loads (value, 95 % interval)" in captured.out
    assert "3 of 3 legs to measure" in captured.err
    names = {path.name for path in folder.iterdir()}
    assert {"journal.jsonl", "report.json", "report.md", "report.html", "report-pareto-front.png"} <= names
    report = json.loads((folder / "report.json").read_text())
    assert report["measurements"][0]["model"] == "m"
    assert [level["offered_per_s"] for level in report["measurements"][0]["levels"]] == [10, 20, 40]

    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "journal.jsonl").write_text("".join(lines[:-1]))  # as if it had been stopped in its last leg
    assert main(["bench", "--resume", str(folder), "--json"]) == 0
    captured = capsys.readouterr()
    assert "1 of 3 legs to measure" in captured.err
    assert json.loads(captured.out)["run_id"] == report["run_id"]
    assert main(arguments) == 2
    assert "is there already" in capsys.readouterr().err


def test_resumed_run_must_be_the_one_that_began(
    replica: str, workload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = ["bench", f"here={replica}", "--workload", str(workload), "--output", str(folder), *QUICK]
    assert main([*arguments, "--rates", "10"]) == 0
    workload.write_text(WORKLOAD.replace("20", "30", 1))
    assert main(["bench", "--resume", str(folder)]) == 2
    assert "no longer what the run began with" in capsys.readouterr().err


def test_bench_says_what_it_lacks(workload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 2
    assert "name what to measure" in capsys.readouterr().err
    assert (
        main(["bench", "http://127.0.0.1:9/v1", "--workload", str(workload), "--output", str(tmp_path / "r")])
        == 1
    )
    assert "does not list its models" in capsys.readouterr().err
    assert main(["bench", "x=http://127.0.0.1:9", "--workload", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "x", "--workload", str(workload), "--rates", "1,zero"])
    assert "is no list of rates" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "x", "--workload", str(workload), "--rates", "inf"])
    assert "is no list of rates" in capsys.readouterr().err
    assert main(["bench", "--resume", str(tmp_path / "nowhere")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_default_ladder_without_a_rate(
    replica: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("prompt_tokens: 20\noutput_tokens: 3\n")
    arguments = ["bench", replica, "--workload", str(path), "--output", str(tmp_path / "r"), *QUICK]
    assert main([*arguments, "--max-usd", "1"]) == 2
    assert "no price is known" in capsys.readouterr().err


def test_progress_is_drawn_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from lmaas.cli._bench_progress import watching  # noqa: PLC0415 - one test's
    from lmaas.measuring import BenchPlan, FixedLength, Target, Workload  # noqa: PLC0415 - likewise
    from lmaas.measuring._rows import Row  # noqa: PLC0415 - likewise

    plan = BenchPlan(
        targets=(Target(label="a[red]", base_url="http://a"),),
        workload=Workload(name="w", prompt_tokens=FixedLength(1), output_tokens=FixedLength(1)),
        rates=(1.0,),
        blocks=1,
    )
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with watching(plan, 0) as watchers:
        watchers.leg_begins(next(plan.legs()), 1, 1)
        watchers.call_ended(Row(0, 0, 0, "failed", 1.0))
        watchers.spent(0.5)


def test_tables_are_drawn_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lmaas.cli._rich_tables import show_table  # noqa: PLC0415 - one test's

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_table("Title", ("A", "B"), [("[red]x[/red]\x1b[2J", "1")])
    shown = capsys.readouterr().out
    assert "[red]x[/red]" in shown
    assert "\x1b[2J" not in shown
