"""The suite's lanes hold every test, fail when one fails, and end together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from lanes import (
    AT_THE_END,
    CHECK,
    COMPUTING,
    DRILLS,
    ENGINES,
    INTERRUPTED,
    REAL_FAULTS,
    SIDE_BY_SIDE,
    run,
    summary,
)

ROOT = Path(__file__).parents[2]
WAITS = "import time\ntry:\n    print('waiting', flush=True); time.sleep(60)\nfinally:\n    print('ended')"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_each_test_is_in_one_lane_and_real_engines_are_in_theirs() -> None:
    engines, drills, others, attacks = (lane.arguments[:-2] for lane in SIDE_BY_SIDE)
    assert engines == ENGINES
    assert REAL_FAULTS in ENGINES
    assert drills == (*DRILLS, f"--ignore={REAL_FAULTS}")
    assert attacks == COMPUTING
    elsewhere = (*ENGINES, *DRILLS, *COMPUTING)
    assert others == ("tests", *(f"--ignore={path}" for path in elsewhere))
    assert all((ROOT / path).exists() for path in elsewhere)
    marked = [
        path for path in (ROOT / "tests").rglob("test_*.py") if "mark.engine" in path.read_text("utf-8")
    ]
    assert len(marked) > 10
    for path in set(marked) - {Path(__file__)}:
        assert any(path.is_relative_to(ROOT / lane) for lane in ENGINES), (
            f"{path.name} would wait for engines"
        )


def test_what_must_run_alone_is_left_out_of_the_lanes_and_run_after_them() -> None:
    assert all(lane.arguments[-2:] == ("-m", "not alone") for lane in SIDE_BY_SIDE)
    assert AT_THE_END.arguments[-2:] == ("-m", "alone")
    for path in (ROOT / "tests").rglob("test_*.py"):
        if "mark.alone" in path.read_text("utf-8") and path != Path(__file__):
            assert any(path.is_relative_to(ROOT / folder) for folder in AT_THE_END.arguments[:-2])


def test_lines_of_both_are_told_apart_and_all_is_well() -> None:
    said: list[str] = []
    codes = run({"one": python("print('a')"), "other": python("print('b')")}, said.append)
    assert codes == {"one": 0, "other": 0}
    assert {"one     | a", "other   | b"} < set(said)
    assert sum(bool(re.search(r"passed in \d+ s, \d+ s of CPU$", line)) for line in said) == 2


@pytest.mark.parametrize("failing", ["one", "other"])
def test_failure_of_either_is_that_of_the_run_and_stops_nobody(failing: str) -> None:
    said: list[str] = []
    codes = {name: 3 if name == failing else 0 for name in ("one", "other")}
    commands = {name: python(f"print('whole'); raise SystemExit({code})") for name, code in codes.items()}
    assert run(commands, said.append) == codes
    assert sum(line.endswith("whole") for line in said) == 2
    assert any(line.startswith(f"{failing:7} | FAILED (3)") for line in said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_ends_both_and_waits_for_them(number: signal.Signals) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(ROOT / "tests")!r})
        from lanes import _say, run
        waits = [sys.executable, "-c", {WAITS!r}]
        sys.exit(run({{"one": waits, "other": waits}}, _say)["one"])
    """
    with subprocess.Popen(
        python(textwrap.dedent(code)), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert {process.stdout.readline() for _ in range(2)} == {"one     | waiting\n", "other   | waiting\n"}
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == INTERRUPTED
        assert {"one     | ended", "other   | ended"} < set(out.splitlines())


def test_summary_ends_with_each_failure_and_the_first_line_of_its_error(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            import pytest, time

            @pytest.fixture
            def broken():
                raise OSError("broken")

            def test_passes():
                time.sleep(0.06)

            @pytest.mark.parametrize("n", [1])
            def test_fails(n):
                raise ValueError("wrong by 3\\nand more")

            class TestGroup:
                def test_never_runs(self, broken):
                    pass
        """),
        encoding="utf-8",
    )
    lane = replace(AT_THE_END, name="own", arguments=("test_it.py",))
    subprocess.run(lane.command, cwd=tmp_path, check=False, stdout=subprocess.DEVNULL)
    took, *failed = summary({"own": tmp_path / lane.report, "gone": tmp_path / "none.xml"})
    assert re.fullmatch(r"own     \| +0\.[0-9] s test_it\.py", took)
    assert failed == [
        "own     | FAILED test_it.py::test_fails[1] - ValueError: wrong by 3",
        'own     | FAILED test_it.py::TestGroup::test_never_runs - failed on setup with "OSError: broken"',
        "gone    | FAILED ended before it could report its tests",
    ]


def test_coverage_is_of_the_lane_that_mirrors_the_code() -> None:
    engines, drills, others, attacks = (lane.command for lane in SIDE_BY_SIDE)
    assert "coverage" in others
    assert "coverage" not in [*engines, *drills, *attacks, *AT_THE_END.command]


def test_only_what_states_nothing_about_time_gives_way() -> None:
    assert [lane.name for lane in SIDE_BY_SIDE if lane.command[0] == "nice"] == ["attacks"]
    assert CHECK[0] == "nice"
