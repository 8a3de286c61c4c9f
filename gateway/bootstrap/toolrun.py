"""Running an installer: its output into a log file, how far it is onto the progress line."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bootstrap.errors import BootstrapError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bootstrap.progress import Progress

_TICK_S = 0.5
_KEPT_LINES = 12


@dataclass(frozen=True)
class Command:
    """A tool to run: what for, with which arguments and what to add to the environment.

    `held_fd` is a lock's file descriptor: the tool keeps it open too, so that the lock outlives a killed
    parent for as long as its tool goes on writing.
    """

    title: str
    arguments: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    held_fd: int | None = None


class Observer(Protocol):
    """Makes a sentence about how far a tool is."""

    def read(self, line: str) -> None:
        """Take one line of the tool's output."""

    def detail(self) -> str:
        """Say how far it is."""


class LastLine:
    """Observes a tool about whose output nothing is known."""

    def __init__(self) -> None:
        self._line = "running"

    def read(self, line: str) -> None:
        """Keep the line."""
        self._line = line or self._line

    def detail(self) -> str:
        """The last line there was."""
        return self._line


class UvInstall:
    """Observes `uv pip install`, which reports phases; what it does inside a phase is counted on disk."""

    def __init__(
        self, count_installed: Callable[[], int], count_compiled: Callable[[], tuple[int, int]]
    ) -> None:
        """The counters give packages installed, and modules compiled of how many."""
        self._count_installed = count_installed
        self._count_compiled = count_compiled
        self._phase = "resolved"
        self._packages = 0
        self._downloads: list[int] = [0, 0]

    def read(self, line: str) -> None:
        """Follow the phases: Resolved, Downloading and Downloaded, Prepared, Installed."""
        word = line.strip().partition(" ")[0]
        if word in {"Resolved", "Prepared", "Installed"}:
            self._phase = word.lower()
            number = re.search(r"\d+", line)
            self._packages = max(self._packages, int(number[0]) if number else 0)
        elif word in {"Downloading", "Downloaded"}:
            self._downloads[word == "Downloaded"] += 1

    def detail(self) -> str:
        """Say how far it is, of how many packages or modules."""
        if self._phase == "prepared":
            return f"{self._count_installed()} of {self._packages} packages installed"
        if self._phase == "installed":
            compiled, modules = self._count_compiled()
            return f"{compiled} of {modules} modules compiled"
        if not self._packages:
            return "looking packages up"
        large, loaded = self._downloads
        return f"packages to fetch: {self._packages}" + (
            f" ({loaded} of {large} large ones are here)" if large else ""
        )


class ToolRunner:
    """Runs tools one after another."""

    def __init__(self, *, log: Path, progress: Progress, environ: Mapping[str, str]) -> None:
        """`log` gets the output of every tool; `environ` is what they all inherit."""
        self.log = log
        self._progress = progress
        self._environ = environ

    def run(self, command: Command, observer: Observer | None = None) -> None:
        """Run to the end, showing how far it is.

        Raises:
            ToolError: it ended with another code than 0.
        """
        observer = observer or LastLine()
        tail: deque[str] = deque(maxlen=_KEPT_LINES)
        with self._start(command) as process:
            try:
                self._follow(process, observer, tail)
            except BaseException:
                with suppress(PermissionError):  # a child of sudo is root's; the terminal has told it already
                    process.kill()
                process.wait()
                raise
        if process.returncode != 0:
            raise ToolError(command.title, process.returncode, tail, self.log)

    def read(self, command: Command) -> str | None:
        """What a tool prints, or `None` if it fails; for questions whose answer may be no."""
        done = subprocess.run(
            [str(argument) for argument in command.arguments],
            env={**self._environ, **command.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None

    def _start(self, command: Command) -> subprocess.Popen[bytes]:
        arguments = [str(argument) for argument in command.arguments]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            return subprocess.Popen(
                arguments,
                env={**self._environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[command.held_fd] if command.held_fd is not None else [],
            )
        except OSError as error:
            message = f"{command.title} could not start {arguments[0]}: {error.strerror}"
            raise BootstrapError(message) from error

    def _follow(self, process: subprocess.Popen[bytes], observer: Observer, tail: deque[str]) -> None:
        pipe = process.stdout
        if pipe is None:  # it is a pipe: see _start
            return
        pending = b""
        with self.log.open("ab") as log, selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                if selector.select(_TICK_S):
                    block = os.read(pipe.fileno(), 65536)
                    if not block:
                        return
                    log.write(block)
                    *lines, pending = (pending + block).split(b"\n")
                    for line in lines:
                        text = line.decode(errors="replace").rstrip()
                        tail.append(text)
                        observer.read(text)
                self._progress.update(observer.detail)
