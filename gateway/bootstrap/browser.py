"""The browser that the tests drive: one that this machine has, or Chromium from its own packages."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.environments import exclusive
from bootstrap.errors import PreflightError
from bootstrap.toolrun import Command, Observer, ToolRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bootstrap.progress import Progress

VARIABLE = "LMAAS_TEST_BROWSER"
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FONT = "fonts-wqy-microhei"
"""A small one with Chinese in it: pictures of Chinese pages are boxes without."""

_LACK = "the tests drive a real browser and PATH has no Chromium or Chrome that runs"
_NAME_ONE = f"name one: {VARIABLE}=/path/to/chrome make test"
_PHASES = {"Get": "fetching", "Unpacking": "unpacking", "Setting up": "setting up"}


class AptInstall:
    """Observes `apt-get install`, which fetches all packages, then unpacks them and sets them up."""

    def __init__(self) -> None:
        self._packages = 0
        self._size = ""
        self._phase = ""
        self._begun: Counter[str] = Counter()

    def read(self, line: str) -> None:
        """Count what is begun in each phase; the last two alternate."""
        if counts := re.match(r"(\d+) upgraded, (\d+) newly installed", line):
            self._packages = int(counts[1]) + int(counts[2])
        elif size := re.match(r"Need to get ([\d.,]+ \w+)", line):
            self._size = f", {size[1]} in all"
        elif phase := re.match("|".join(_PHASES), line):
            self._phase = phase[0]
            self._begun[self._phase] += 1

    def detail(self) -> str:
        """Say how far it is, of how many packages."""
        if not self._phase:
            return "looking packages up"
        size = self._size if self._phase == "Get" else ""
        return f"{_PHASES[self._phase]} package {self._begun[self._phase]} of {self._packages}{size}"


class BrowserSetup:
    """Finds the browser, and installs Chromium where there is none and apt-get may be used."""

    def __init__(
        self,
        lock: Path,
        *,
        runner: ToolRunner,
        progress: Progress,
        environ: Mapping[str, str],
        is_root: bool,
        which: Callable[[str], str | None] = shutil.which,
    ) -> None:
        """Of processes that share `lock` one installs, and the others wait; `which` looks on PATH."""
        self._lock = lock
        self._runner = runner
        self._progress = progress
        self._environ = environ
        self._is_root = is_root
        self._which = which

    def ensure(self) -> Path:
        """Find the browser, or install it.

        Raises:
            PreflightError: there is none, or not the one that was named, and it cannot be installed here.
            ToolError: apt-get failed.
        """
        if named := self._environ.get(VARIABLE):
            if path := self._find([named]):
                return path
            message = f"{VARIABLE} names {named}, which does not run; point it at a Chromium or Chrome"
            raise PreflightError(message)
        path = self._find(COMMANDS) or self._install()
        if path is None:
            message = f"{_LACK}, although chromium was just installed; {_NAME_ONE}"
            raise PreflightError(message)
        return path

    def _find(self, commands: Iterable[str]) -> Path | None:
        """The first command that tells its version; Ubuntu's may only say that a snap is missing."""
        for path in filter(None, map(self._which, commands)):
            if self._says_yes("asking a browser for its version", path, "--version"):
                return Path(path)
        return None

    def _install(self) -> Path | None:
        prefix = self._right_to_install()
        with exclusive(self._lock, self._progress) as held_fd:
            if path := self._find(COMMANDS):
                return path
            with self._progress.step("the browser for the tests (Chromium)"):
                self._apt_get(prefix, "update", held_fd)
                self._check_package()
                self._apt_get(prefix, "install", held_fd, AptInstall())
        return self._find(COMMANDS)

    def _right_to_install(self) -> tuple[str, ...]:
        """What has to stand before apt-get."""
        if self._which("apt-get") is None:
            message = f"{_LACK}; install one with this system's package manager, or {_NAME_ONE}"
            raise PreflightError(message)
        if self._is_root:
            return ()
        sudo = self._which("sudo")
        if sudo and self._says_yes("asking for the right to install", sudo, "-n", "true"):
            return (sudo, "-n")
        message = f"{_LACK}; install it: sudo apt-get install chromium, or {_NAME_ONE}"
        raise PreflightError(message)

    def _check_package(self) -> None:
        question = ("apt-cache", "policy", "chromium")
        policy = self._runner.read(Command("looking chromium up", question, {"LC_ALL": "C"})) or ""
        if not re.search(r"Candidate: \d", policy):
            message = (
                f"{_LACK}, and this system has no chromium package (Ubuntu's is a snap); install "
                f"Google Chrome from https://www.google.com/chrome, or {_NAME_ONE}"
            )
            raise PreflightError(message)

    def _apt_get(
        self, prefix: tuple[str, ...], action: str, held_fd: int, observer: Observer | None = None
    ) -> None:
        """Run apt-get; its variables come by `env`, because sudo passes none on."""
        command: list[str] = [*prefix, "env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        command += ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", action]
        if action == "install":
            command += ["--yes", "--no-install-recommends", "chromium", FONT]
        title = "updating the list of packages" if action == "update" else "installing chromium"
        self._runner.run(Command(title, command, held_fd=held_fd), observer)

    def _says_yes(self, title: str, *question: str) -> bool:
        return self._runner.read(Command(title, question)) is not None
