"""Virtual environments that a cache shares between checkouts, each made once by the one method `ensure`.

A virtual environment cannot be renamed into place, so what makes it whole is a marker file, written last:
a folder without one is what a killed installation left, and is made again. Processes that want the same
one wait for a lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bootstrap import indexes, pythons
from bootstrap.recipes import RECIPES, TORCH_CPU, Recipe
from bootstrap.toolrun import Command, ToolRunner, UvInstall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bootstrap.progress import Progress
    from bootstrap.pythons import Python

MARKER = ".lmaas-complete"
_POLL_S = 0.2


def cache_folder(environ: Mapping[str, str], home: Path) -> Path:
    """Where everything that outlives a checkout is kept."""
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else home / ".cache") / "lmaas"


def key(lock: bytes, tag: str) -> str:
    """The 12 hexadecimal digits that name an environment; another lock or Python is another environment."""
    return hashlib.sha256(lock + b"\0" + tag.encode()).hexdigest()[:12]


@contextmanager
def exclusive(path: Path, progress: Progress) -> Iterator[int]:
    """Hold a lock file that one process has at a time; yields its descriptor, for `Command.held_fd`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if not _try_lock(file):
            with progress.step(f"waiting for another process that makes {path.stem}"):
                while not _try_lock(file):
                    time.sleep(_POLL_S)
                    progress.update(lambda: "still at it")
        yield file.fileno()


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def works(home: Path) -> bool:
    """Whether its interpreter is still there: the one it was made from may have been removed."""
    return (home / "bin" / "python").exists()


@dataclass(frozen=True)
class Uv:
    """The installer, and what it has to be told of the user's pip configuration."""

    path: Path
    environment: Mapping[str, str]


class Environments:
    """The shared environments, by the name of their recipe."""

    def __init__(
        self, folder: Path, *, runner: ToolRunner, progress: Progress, environ: Mapping[str, str]
    ) -> None:
        """They are kept in `folder`; `environ` is what the user set."""
        self.folder = folder
        self._running = pythons.running()
        self.quickest = pythons.quickest(environ)
        """The Python for what is Python code itself."""
        self._runner = runner
        self._progress = progress
        self._environ = environ
        self._uv: Uv | None = None

    def home(self, name: str) -> Path:
        """Where the environment is, or will be."""
        recipe = RECIPES[name]
        return self.folder / f"{name}-{key(recipe.lock.read_bytes(), self._python_of(recipe).tag)}"

    def is_ready(self, name: str) -> bool:
        """Whether it is there and whole."""
        home = self.home(name)
        return (home / MARKER).exists() and works(home)

    def ensure(self, name: str) -> Path:
        """Make the environment unless it is there; return its interpreter.

        Raises:
            ToolError: an installer failed.
        """
        home = self.home(name)
        if not self.is_ready(name):
            with exclusive(home.with_name(f"{home.name}.lock"), self._progress) as held_fd:
                if not self.is_ready(name):
                    self._make(RECIPES[name], home, held_fd)
        return home / "bin" / "python"

    def create(self, home: Path, held_fd: int, python: Python) -> None:
        """Make an empty virtual environment of `python` at `home`, in place of what was there."""
        arguments = (
            self.uv().path,
            "venv",
            "--quiet",
            "--clear",
            "--no-project",
            "--python",
            python.path,
            home,
        )
        self._runner.run(Command("making a virtual environment", arguments, held_fd=held_fd))

    def install(self, recipe: Recipe, python: Path, held_fd: int) -> None:
        """Install exactly what the recipe's lock lists; every file is checked against its hash."""
        options: list[str | Path] = [
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--requirements",
            recipe.lock,
        ]
        if recipe.is_engine:
            options.append("--compile-bytecode")
        if recipe.name == "engine-cpu":
            options.extend(self._torch_options(python))
        self.uv_pip_install(f"installing {recipe.title}", python, options, held_fd)

    def uv_pip_install(self, title: str, python: Path, options: list[str | Path], held_fd: int) -> None:
        """Run `uv pip install` with the user's own indexes."""
        uv = self.uv()
        arguments = (uv.path, "pip", "install", "--python", python, *options)
        command = Command(title, arguments, uv.environment, held_fd)
        packages = python.parent.parent / "lib"
        self._runner.run(
            command, UvInstall(lambda: _count_packages(packages), lambda: _count_modules(packages))
        )

    def uv(self) -> Uv:
        """The installer; pip's configuration is asked once."""
        if self._uv is None:
            python = self.ensure("tools")
            listing = self._runner.read(Command("pip config", (python, "-m", "pip", "config", "list")))
            configured = indexes.parse_pip_configuration(listing or "")
            self._uv = Uv(python.with_name("uv"), indexes.uv_environment(configured, self._environ))
        return self._uv

    def _make(self, recipe: Recipe, home: Path, held_fd: int) -> None:
        shutil.rmtree(home, ignore_errors=True)
        python = home / "bin" / "python"
        if recipe.name != "tools":
            self.ensure("tools")
        with self._progress.step(recipe.title):
            if recipe.name == "tools":
                self._make_tools(recipe, home, held_fd)
            else:
                self.create(home, held_fd, self._python_of(recipe))
                self.install(recipe, python, held_fd)
            note = {"lock": recipe.lock.name, "python": self._python_of(recipe).tag}
            (home / MARKER).write_text(json.dumps(note) + "\n")

    def _make_tools(self, recipe: Recipe, home: Path, held_fd: int) -> None:
        """The installer itself comes through pip, the one tool that a Python brings along."""
        venv = (self._running.path, "-m", "venv", "--clear", home)
        self._runner.run(Command("making a virtual environment", venv, held_fd=held_fd))
        pip = (home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--no-deps")
        options = ("--only-binary", ":all:", "--require-hashes", "--requirement", recipe.lock)
        self._runner.run(Command(f"installing {recipe.title}", (*pip, *options), held_fd=held_fd))

    def _python_of(self, recipe: Recipe) -> Python:
        # The installer needs a Python that brings pip along, and an engine one that brings its headers.
        return self._running if recipe.is_engine or recipe.name == "tools" else self.quickest

    def _torch_options(self, python: Path) -> list[str]:
        """Where the CPU build of torch comes from: the user's own indexes if they have it, else PyTorch's."""
        uv = self.uv()
        question = (
            uv.path,
            "pip",
            "install",
            "--python",
            python,
            "--dry-run",
            "--no-deps",
            f"torch=={TORCH_CPU}",
        )
        if self._runner.read(Command("looking torch up", question, uv.environment)) is not None:
            return []
        return ["--torch-backend", "cpu"]


def _count_packages(folder: Path) -> int:
    return sum(1 for _ in folder.glob("python*/site-packages/*.dist-info/RECORD"))


def _count_modules(folder: Path) -> tuple[int, int]:
    """Modules compiled, and modules in all."""
    compiled = modules = 0
    for _, _, files in os.walk(folder):
        compiled += sum(name.endswith(".pyc") for name in files)
        modules += sum(name.endswith(".py") for name in files)
    return compiled, modules
