"""Runs every check and the whole suite: lanes side by side, then alone what measures time or capacity.

Two lanes of pytest do most of the work: real engines, and the tests that mirror the code. A third breaks
things and mostly waits, for deadlines and for what was killed: that costs the others little. Two more have
what these leave idle, as they give way (`nice`): the checks, and tests that only compute. A test with the
mark `alone` states what a busy neighbour would falsify: it runs when the lanes have ended.

Coverage is of the tests that mirror the code. What drives whole systems runs without it: a gateway under
load or under faults is judged at its own speed, and coverage makes it half as fast. So does what attacks and
simulates: it is the same code thousands of times, of which tests that mirror it show every line.

Lines of the lanes are printed as they come, each behind its lane's name. All run to their ends; if one fails,
so does the run. What is printed last says what took the time and what failed: whoever sees only the end of
the output, as in CI, can act on it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support import outcomes

REAL_FAULTS = "tests/faults/test_real_engines.py"

ENGINES = (REAL_FAULTS, "tests/browser", "tests/e2e")
"""What drives real vLLM: it takes longest, so that nothing else stands in its lane."""

DRILLS = (
    "tests/bench",
    "tests/drill",
    "tests/faults",
    "tests/gateway/test_books_crash.py",
    "tests/gateway/test_descriptors.py",
    "tests/gateway/test_docs_operating.py",
    "tests/gateway/test_replay_crash.py",
    "tests/gateway/test_slow_readers.py",
)
"""What drives whole systems without an engine: gateways under faults and load. One that is killed tells
coverage nothing."""

COMPUTING = ("tests/security", "tests/sdk/test_drop_in.py", "tests/sdk/test_selection_honesty.py")
"""What attacks and simulates: it computes much, and states nothing about time.

Everything else is the lane of the others, so that a new test is in exactly one.
"""

CHECK = ("nice", "-n", "5", "make", "--no-print-directory", "check")
"""It gives way but little: its cache serves the documentation's code, late in the lane of the others."""

SLOWEST_FILES = 5
"""Of each lane, in the summary."""

INTERRUPTED = 130
ENDS_WITHIN_S = 90.0
"""An interrupted lane takes its engines and servers down first."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One pytest process.

    Attributes:
        name: Stands before each of its lines.
        arguments: Of pytest.
        is_covered: Whether it counts for coverage.
        gives_way: Whether it has only what others leave idle.
    """

    name: str
    arguments: tuple[str, ...]
    is_covered: bool = False
    gives_way: bool = False

    @property
    def command(self) -> list[str]:
        """What runs it; lanes share no cache of pytest's, where they would overwrite each other's results."""
        cache = f"cache_dir=.pytest_cache/{self.name}"
        pytest = ("coverage", "run", "-m", "pytest") if self.is_covered else ("pytest",)
        way = ("nice", "-n", "10") if self.gives_way else ()
        own = (*way, sys.executable, "-m", *pytest, "-o", cache, *self.arguments)
        return [*own, "--durations=30", "-o", "junit_family=xunit1", f"--junitxml={self.report}"]

    @property
    def report(self) -> Path:
        """Where it leaves what each of its tests came to."""
        return Path(".pytest_cache", f"{self.name}.xml")


SIDE_BY_SIDE = (
    Lane("engines", (*ENGINES, "-m", "not alone")),
    Lane("drills", (*DRILLS, f"--ignore={REAL_FAULTS}", "-m", "not alone")),
    Lane(
        "others",
        ("tests", *(f"--ignore={path}" for path in (*ENGINES, *DRILLS, *COMPUTING)), "-m", "not alone"),
        is_covered=True,
    ),
    Lane("attacks", (*COMPUTING, "-m", "not alone"), gives_way=True),
)
AT_THE_END = Lane(
    "alone",
    (
        "tests/browser/test_first_paint.py",
        "tests/faults/test_hostile_clients.py",
        "tests/faults/test_load.py",
        "tests/faults/test_operations.py",
        "tests/gateway/test_admission.py",
        "tests/gateway/test_watching.py",
        "tests/sdk/test_import_time.py",
        "tests/sdk/test_selection_speed.py",
        "-m",
        "alone",
    ),
)


class Running:
    """A command whose lines are passed on behind a name."""

    def __init__(self, name: str, command: Sequence[str], say: Callable[[str], None]) -> None:
        self._name = name
        self._say = say
        self._began_s = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(),
        )
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        # A thread that was joined when Ctrl-C came is taken to have ended; an event is not.
        self._has_ended = threading.Event()
        self._cpu_s = 0.0
        self._reader.start()
        threading.Thread(target=self._reap, daemon=True).start()

    def _reap(self) -> None:
        # The one call that tells what one child, and all whom it waited for, have used.
        _, status, usage = os.wait4(self._process.pid, 0)
        self._cpu_s = usage.ru_utime + usage.ru_stime
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._has_ended.set()

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._say(f"{self._name:7} | {line.rstrip()}")

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; give its exit code."""
        if not self._has_ended.wait(timeout_s):
            raise TimeoutError(f"{self._name} does not end")
        code = self._process.returncode
        # What it left behind may hold its output open, and must not hold up the others.
        self._reader.join(5)
        took_s = time.monotonic() - self._began_s
        self._say(f"{self._name:7} | {_verdict(code)} in {took_s:.0f} s, {self._cpu_s:.0f} s of CPU")
        return code

    def interrupt(self) -> None:
        """As Ctrl-C, for one that has not had it."""
        if not self._has_ended.is_set():
            os.kill(self._process.pid, signal.SIGINT)


def _environment() -> dict[str, str]:
    """Ours, but Python keeps what it compiles: hundreds of processes would compile the same modules anew."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _verdict(code: int) -> str:
    return "passed" if code == 0 else f"FAILED ({code})"


def run(commands: Mapping[str, Sequence[str]], say: Callable[[str], None]) -> dict[str, int]:
    """Run commands by name side by side, all to their ends; give their exit codes.

    Ctrl-C reaches all of them by itself; SIGTERM reaches this process alone, and is passed on as one.
    """
    # Whatever starts this in the background may have it, and so all that it starts, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running: list[Running] = []

    def end(number: int, frame: object) -> None:
        for one in running:
            one.interrupt()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        for name, command in commands.items():
            running.append(Running(name, command, say))
        codes = {name: one.wait() for name, one in zip(commands, running, strict=True)}
    except KeyboardInterrupt:
        for one in running:
            one.wait(ENDS_WITHIN_S)
        return dict.fromkeys(commands, INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)
    return codes


def main() -> int:
    """Run the checks and the suite."""
    began_s = time.monotonic()
    for lane in (*SIDE_BY_SIDE, AT_THE_END):
        lane.report.unlink(missing_ok=True)
    codes = run({lane.name: lane.command for lane in SIDE_BY_SIDE} | {"check": CHECK}, _say)
    if INTERRUPTED not in codes.values():
        codes |= run({AT_THE_END.name: AT_THE_END.command}, _say)
    for line in summary({lane.name: lane.report for lane in (*SIDE_BY_SIDE, AT_THE_END)}):
        _say(line)
    if codes["check"]:
        _say("check   | FAILED: make check")
    failed = next((code for code in codes.values() if code), 0)
    _say(f"all     | {'FAILED' if failed else 'passed'} in {time.monotonic() - began_s:.0f} s")
    return failed


def summary(reports: Mapping[str, Path]) -> list[str]:
    """Say what took the time in each lane and then, last, what failed in each."""
    read = {name: outcomes.read(report) for name, report in reports.items()}
    lines = [
        f"{name:7} | {line}"
        for name, found in read.items()
        for line in outcomes.slowest_files(found or (), SLOWEST_FILES)
    ]
    for name, found in read.items():
        failed = ["ended before it could report its tests"] if found is None else outcomes.failures(found)
        lines += [f"{name:7} | FAILED {line}" for line in failed]
    return lines


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
