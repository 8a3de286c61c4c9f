"""Doubles for the tests of gateway/bootstrap: tools that only make files, and a clock that is set by hand."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from bootstrap.environments import Environments
from bootstrap.errors import ToolError
from bootstrap.progress import Progress
from bootstrap.toolrun import Command, Observer, ToolRunner

ROOT = Path(__file__).resolve().parents[1]


def quiet() -> Progress:
    return Progress(io.StringIO(), is_terminal=False)


class FakeRunner(ToolRunner):
    """Makes the files that the tools would, and remembers their arguments."""

    def __init__(self, folder: Path, *, has_torch: bool = True) -> None:
        super().__init__(log=folder / "log", progress=quiet(), environ={})
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.fails_at: str | None = None
        self._has_torch = has_torch

    def run(self, command: Command, observer: Observer | None = None) -> None:  # noqa: ARG002 - as in ToolRunner
        arguments = [str(argument) for argument in command.arguments]
        self.commands.append(arguments)
        self.environments.append(dict(command.environment))
        if self.fails_at is not None and self.fails_at in arguments:
            raise ToolError(command.title, 1, ["no such package"], self.log)
        if "venv" in arguments:
            home = Path(arguments[-1])
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            (home / "lib" / version).mkdir(parents=True, exist_ok=True)
            (home / "bin").mkdir(exist_ok=True)
            (home / "bin" / "python").touch()

    def read(self, command: Command) -> str | None:
        if "config" in command.arguments:
            return "global.find-links='/somewhere/wheels'\n"
        return "" if self._has_torch else None

    def installed(self) -> list[list[str]]:
        return [arguments for arguments in self.commands if "install" in arguments]


def environments(tmp_path: Path, runner: ToolRunner) -> Environments:
    environ = {"LMAAS_PYTHON": sys.executable}
    return Environments(tmp_path / "envs", runner=runner, progress=quiet(), environ=environ)


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s
