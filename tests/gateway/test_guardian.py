"""The guardian with real processes: whatever dies, no process of the engine stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from gateway.processes import any_alive, until
from lmaas_gateway.replicas import guardian

if TYPE_CHECKING:
    from pathlib import Path

FAMILY = """
import os, signal, subprocess, sys, time
stubborn = sys.argv[2] == "stubborn"
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
same_group = subprocess.Popen([sys.executable, "-c", code])
own_group = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
temporary = sys.argv[1] + ".new"
open(temporary, "w").write(f"{os.getpid()} {same_group.pid} {own_group.pid}")
os.rename(temporary, sys.argv[1])
print("engine says hello", flush=True)
if sys.argv[2] == "exit":
    os._exit(3)
time.sleep(600)
"""


class Family:
    """A guardian and an engine of three processes, one of them in a group of its own."""

    def __init__(self, folder: Path, mode: str = "polite", grace_s: float = 5.0) -> None:
        self.log = folder / "engine.log"
        pid_file = folder / "pids"
        command = [sys.executable, "-c", FAMILY, str(pid_file), mode]
        self.guardian = subprocess.Popen(
            [
                sys.executable,
                "-I",
                guardian.__file__,
                "--grace",
                str(grace_s),
                "--log",
                str(self.log),
                "--",
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.guardian.stdout is not None
        self.engine = int(self.guardian.stdout.readline())
        until(pid_file.exists)
        self.pids = tuple(map(int, pid_file.read_text().split()))

    def end(self) -> int:
        code = self.guardian.wait(10)
        assert self.guardian.stdin is not None
        assert self.guardian.stdout is not None
        self.guardian.stdin.close()
        self.guardian.stdout.close()
        return code


def test_closed_pipe_ends_the_engine_and_all_its_children(tmp_path: Path) -> None:
    family = Family(tmp_path)
    assert any_alive(family.pids)
    assert family.guardian.stdin is not None
    family.guardian.stdin.close()
    assert family.end() == 128 + signal.SIGKILL
    assert not any_alive(family.pids)


def test_engine_that_exits_takes_its_children_along_and_its_exit_code_is_passed_on(tmp_path: Path) -> None:
    family = Family(tmp_path, "exit")
    assert family.end() == 3
    assert not any_alive(family.pids)


def test_killed_engine_takes_its_children_along(tmp_path: Path) -> None:
    family = Family(tmp_path)
    os.kill(family.engine, signal.SIGKILL)
    assert family.end() == 128 + signal.SIGKILL
    assert not any_alive(family.pids)


def test_sigterm_asks_the_engine_and_then_ends_its_children(tmp_path: Path) -> None:
    family = Family(tmp_path)
    family.guardian.terminate()
    assert family.end() == 128 + signal.SIGTERM
    assert not any_alive(family.pids)


def test_engine_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    family = Family(tmp_path, "stubborn", grace_s=0.3)
    began_at = time.monotonic()
    family.guardian.terminate()
    assert family.end() == 128 + signal.SIGKILL
    assert time.monotonic() - began_at >= 0.3
    assert not any_alive(family.pids)


def test_second_sigterm_ends_the_grace_period(tmp_path: Path) -> None:
    family = Family(tmp_path, "stubborn", grace_s=600)
    family.guardian.terminate()
    time.sleep(0.1)
    assert family.guardian.poll() is None
    family.guardian.terminate()
    assert family.end() == 128 + signal.SIGKILL
    assert not any_alive(family.pids)


def test_killed_guardian_takes_the_engines_first_process_along(tmp_path: Path) -> None:
    family = Family(tmp_path)
    family.guardian.kill()
    family.end()
    until(lambda: not any_alive([family.engine]))
    # The rest is the gateway's to end (test_engine_process.py); here the test does it.
    for pid in family.pids[1:]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any_alive(family.pids))


def test_process_that_cannot_be_ended_is_given_up_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 1.0, 4.9, 5.0))
    looks: list[int] = []

    def immortal(*, except_for: int) -> bool:
        looks.append(except_for)
        return True

    monkeypatch.setattr(guardian, "_reap", immortal)
    # Called in this process, it would end all that the other tests have started.
    monkeypatch.setattr(guardian, "_children", list)
    with subprocess.Popen(["true"], start_new_session=True) as process:
        process.wait()
        guardian.end_group(process.pid, clock=lambda: next(clock))
    assert looks == [process.pid, process.pid]


def test_engine_output_goes_to_the_log(tmp_path: Path) -> None:
    family = Family(tmp_path, "exit")
    family.end()
    assert family.log.read_text() == "engine says hello\n"


def test_log_beyond_its_bound_is_moved_aside(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("x" * 100)
    guardian.rotate(log, max_bytes=100)
    assert log.read_text() == "x" * 100
    guardian.rotate(log, max_bytes=99)
    assert log.read_text() == ""
    assert log.with_name("engine.log.1").read_text() == "x" * 100
