"""Tools are run with their output in a log, and every long step tells how far it is."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from bootstrap.errors import BootstrapError, ToolError
from bootstrap.progress import Progress
from bootstrap.toolrun import Command, LastLine, ToolRunner, UvInstall
from bootstrap_fakes import Clock, quiet


def test_a_failed_tool_shows_its_last_lines_and_its_log(tmp_path: Path) -> None:
    runner = ToolRunner(log=tmp_path / "logs" / "tool.log", progress=quiet(), environ=os.environ)
    code = "print('fetching'); print('no space left'); raise SystemExit(3)"
    with pytest.raises(
        ToolError, match=r"installing failed .exit code 3.*\n.*fetching\n.*no space left"
    ) as caught:
        runner.run(Command("installing", (sys.executable, "-c", code)))
    assert str(runner.log) in str(caught.value)
    assert "no space left" in runner.log.read_text()


def test_a_tool_that_is_not_there_is_told_without_a_traceback(tmp_path: Path) -> None:
    runner = ToolRunner(log=tmp_path / "log", progress=quiet(), environ={})
    with pytest.raises(BootstrapError, match="could not start /absent/uv"):
        runner.run(Command("installing", ("/absent/uv",)))


def test_a_question_may_be_answered_with_no(tmp_path: Path) -> None:
    runner = ToolRunner(log=tmp_path / "log", progress=quiet(), environ=os.environ)
    assert runner.read(Command("asking", (sys.executable, "-c", "print('yes')"))) == "yes\n"
    assert runner.read(Command("asking", (sys.executable, "-c", "raise SystemExit(1)"))) is None


def test_every_phase_of_an_installation_tells_how_far_it_is() -> None:
    observer = UvInstall(lambda: 7, lambda: (30, 90))
    told = [observer.detail()]
    for line in ("Resolved 148 packages in 1s", "Downloading torch (180MiB)", "Downloading numpy (16MiB)"):
        observer.read(line)
    observer.read(" Downloaded numpy")
    told.append(observer.detail())
    observer.read("Prepared 148 packages in 6s")
    told.append(observer.detail())
    observer.read("Installed 148 packages in 1s")
    told.append(observer.detail())
    assert told == [
        "looking packages up",
        "packages to fetch: 148 (1 of 2 large ones are here)",
        "7 of 148 packages installed",
        "30 of 90 modules compiled",
    ]


def test_progress_is_a_line_every_ten_seconds_where_nobody_watches() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, is_terminal=False, clock=clock)
    progress.expect(2)
    with progress.step("the engine"):
        for clock.now_s in (3.0, 9.0, 10.0, 12.0):
            progress.update(lambda: "half of it")
    assert stream.getvalue().splitlines() == [
        "[1/2] the engine · 0 s · starting",
        "[1/2] the engine · 10 s · half of it",
        "[1/2] the engine · 12 s · done",
    ]


def test_progress_is_one_line_on_a_terminal_and_never_wider_than_it() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, is_terminal=True, columns=30, clock=clock)
    with progress.step("the engine"):
        clock.now_s = 5.0
        progress.update(lambda: "x" * 100)
    lines = stream.getvalue().split("\r\x1b[K")
    assert lines[1:] == [
        "[1/1] the engine · 0 s · star",
        "[1/1] the engine · 5 s · xxxx",
        "[1/1] the engine · 5 s · done\n",
    ]


def test_a_step_that_fails_is_told_as_failed() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyError), Progress(stream, is_terminal=False).step("the engine"):
        raise KeyError
    assert "failed" in stream.getvalue()


def test_an_interrupted_tool_is_ended(tmp_path: Path) -> None:
    class Interrupting(LastLine):
        def read(self, line: str) -> None:
            raise KeyboardInterrupt(line)

    runner = ToolRunner(log=tmp_path / "log", progress=quiet(), environ=os.environ)
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt) as interrupted:
        runner.run(Command("installing", (sys.executable, "-c", code)), Interrupting())
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(interrupted.value)), 0)


def test_an_interrupted_tool_of_another_user_is_left_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(LastLine):
        def read(self, line: str) -> None:
            raise KeyboardInterrupt(line)

    def kill(_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("subprocess.Popen.kill", kill)
    runner = ToolRunner(log=tmp_path / "log", progress=quiet(), environ=os.environ)
    with pytest.raises(KeyboardInterrupt):
        runner.run(Command("installing", (sys.executable, "-c", "print('begun')")), Interrupting())


def test_a_tool_that_is_silent_shows_its_last_line() -> None:
    observer = LastLine()
    assert observer.detail() == "running"
    observer.read("Collecting uv")
    observer.read("")
    assert observer.detail() == "Collecting uv"
