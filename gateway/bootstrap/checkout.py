"""The checkout's own `.venv`: lmaas in editable form over the locked packages of one extra."""

from __future__ import annotations

import hashlib
import json
import tomllib
from typing import TYPE_CHECKING

from bootstrap.environments import Environments, exclusive, works
from bootstrap.recipes import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

    from bootstrap.progress import Progress

_CONTAINED = {"gateway": ("gateway", "dev"), "dev": ("dev",)}
"""Which installed extras are enough for the one that is wanted."""


class Checkout:
    """The project's folder and the virtual environment in it.

    A note inside the environment tells what it holds. It is taken away before anything is changed and
    written when all is done, so that a killed installation is seen and made again from nothing.
    """

    def __init__(self, root: Path, environments: Environments, progress: Progress) -> None:
        """`root` is where pyproject.toml is."""
        self._root = root
        self._environments = environments
        self._progress = progress
        self._home = root / ".venv"
        self._note = self._home / ".lmaas-installed"
        self._unfinished = self._home / ".lmaas-unfinished"

    @property
    def command(self) -> Path:
        """The `lmaas` command of this checkout."""
        return self._home / "bin" / "lmaas"

    def is_ready(self, extra: str) -> bool:
        """Whether `.venv` holds this extra as locked, or more."""
        if not works(self._home) or self._unfinished.exists() or not self._note.exists():
            return False
        note = self._note.read_text(encoding="utf-8")
        return any(note == self._describe(installed) for installed in _CONTAINED[extra])

    def ensure(self, extra: str) -> Path:
        """Install this extra unless it is there; return the interpreter.

        Raises:
            ToolError: an installer failed.
        """
        python = self._home / "bin" / "python"
        if not self.is_ready(extra):
            self._environments.ensure("tools")
            with exclusive(self._lock_file(), self._progress) as held_fd:
                if not self.is_ready(extra):
                    self._install(extra, python, held_fd)
        return python

    def _install(self, extra: str, python: Path, held_fd: int) -> None:
        recipe = RECIPES[extra]
        with self._progress.step(recipe.title):
            if self._unfinished.exists() or not self._is_of_this_python():
                self._environments.create(self._home, held_fd, self._environments.quickest)
            self._unfinished.touch()
            self._note.unlink(missing_ok=True)
            self._environments.install(recipe, python, held_fd)
            self._environments.uv_pip_install("installing lmaas", python, self._editable(), held_fd)
            self._note.write_text(self._describe(extra), encoding="utf-8")
            self._unfinished.unlink()

    def _editable(self) -> list[str | Path]:
        return ["--no-deps", "--build-constraints", RECIPES["build"].lock, "--editable", self._root]

    def _is_of_this_python(self) -> bool:
        """Whether what is there can be installed into; it may have been made by hand."""
        tag = self._environments.quickest.tag
        if self._note.exists() and json.loads(self._note.read_text(encoding="utf-8"))["python"] != tag:
            return False
        major, minor, *_ = tag.split("-")[1].split(".")
        return works(self._home) and (self._home / "lib" / f"python{major}.{minor}").is_dir()

    def _lock_file(self) -> Path:
        name = hashlib.sha256(str(self._root).encode()).hexdigest()[:12]
        return self._environments.folder / f"checkout-{name}.lock"

    def _describe(self, extra: str) -> str:
        """What decides the installation; code is not part of that, as the installation is editable."""
        project = tomllib.loads((self._root / "pyproject.toml").read_text(encoding="utf-8"))
        decisive = [project.get("project"), project.get("build-system"), project.get("tool", {}).get("hatch")]
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
        digest.update(RECIPES[extra].lock.read_bytes())
        digest.update(RECIPES["build"].lock.read_bytes())
        tag = self._environments.quickest.tag
        return json.dumps({"extra": extra, "python": tag, "digest": digest.hexdigest()}) + "\n"
