"""`make lock`: from recipes to lock files that hold on every supported Python and platform.

A lock file names no index and no host: which one serves the files is the user's business, their hashes
are ours.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.errors import BootstrapError
from bootstrap.interpreter import OLDEST
from bootstrap.recipes import LOCKS, RECIPES, TORCH_CPU, TORCH_CPU_SHA256, Recipe
from bootstrap.toolrun import Command

if TYPE_CHECKING:
    from bootstrap.environments import Uv
    from bootstrap.progress import Progress
    from bootstrap.toolrun import ToolRunner

_HEADER = "# Made by `make lock` from gateway/bootstrap/recipes.py and pyproject.toml; not edited by hand.\n"
_ROW = re.compile(r"^\S.*?(?:\\\n(?:[ \t]+--hash=\S+(?: \\)?\n)+|\n)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Locksmith:
    """Compiles recipes with uv."""

    def __init__(self, root: Path, uv: Uv, runner: ToolRunner, progress: Progress) -> None:
        """`root` is where pyproject.toml is."""
        self._root = root
        self._uv = uv
        self._runner = runner
        self._progress = progress

    def write(self, recipe: Recipe, *, upgrade: bool) -> None:
        """Bring one lock file up to date; pins that still fit are kept unless `upgrade`."""
        with self._progress.step(recipe.lock.name), tempfile.TemporaryDirectory() as folder:
            compiled = Path(folder) / recipe.lock.name
            if recipe.lock.exists() and not upgrade:
                compiled.write_text(without_hashes(recipe.lock.read_text(encoding="utf-8")), encoding="utf-8")
            self._compile(recipe, Path(folder), compiled)
            text = compiled.read_text(encoding="utf-8")
            recipe.lock.write_text(_HEADER + with_exact_torch(with_every_torch_wheel(text)), encoding="utf-8")

    def _compile(self, recipe: Recipe, folder: Path, compiled: Path) -> None:
        chosen = folder / f"{recipe.name}.in"
        chosen.write_text(
            "".join(f"{requirement}\n" for requirement in recipe.requirements), encoding="utf-8"
        )
        left_out = folder / "left-out.txt"
        left_out.write_text(
            "".join(f'{name}; python_version < "0"\n' for name in recipe.left_out), encoding="utf-8"
        )
        options: list[str | Path] = ["--quiet", "--universal", "--python-version", ".".join(map(str, OLDEST))]
        options += [
            "--generate-hashes",
            "--no-emit-index-url",
            "--no-header",
            "--no-annotate",
            "--only-binary",
            ":all:",
        ]
        options += ["--override", left_out, "--output-file", compiled, chosen]
        if recipe.extra:
            options += ["--extra", recipe.extra, self._root / "pyproject.toml"]
        if recipe.agrees_with:
            options += ["--constraint", RECIPES[recipe.agrees_with].lock]
        self._run(recipe, options)

    def _run(self, recipe: Recipe, options: list[str | Path]) -> None:
        # Folders and extra indexes hold some wheels of a release, the main index holds all: only the latter's
        # hashes are good on other machines. The CPU build of torch is the exception, see TORCH_CPU_SHA256.
        environment = dict(self._uv.environment)
        for variable in ("UV_INDEX", "UV_INDEX_STRATEGY"):
            environment.pop(variable, None)
        if recipe.name != "engine-cpu":
            environment.pop("UV_FIND_LINKS", None)
        elif "UV_FIND_LINKS" not in environment:
            options = ["--torch-backend", "cpu", *options]
        arguments = (self._uv.path, "pip", "compile", *options)
        self._runner.run(Command(f"locking {recipe.name}", arguments, environment))


def rows(lock: str) -> list[str]:
    """The requirements of a lock file, each with its hashes."""
    return _ROW.findall(re.sub(r"^\s*#.*\n", "", lock, flags=re.MULTILINE))


def without_hashes(lock: str) -> str:
    """The pins of a lock file alone; uv would repeat the hashes of a pin that it keeps."""
    pins = (row.partition("\\\n")[0].rstrip() for row in rows(lock))
    return "".join(f"{pin}\n" for pin in pins)


def hashes(row: str) -> frozenset[str]:
    """The SHA-256 digests of one row."""
    return frozenset(_HASH.findall(row))


def with_every_torch_wheel(lock: str) -> str:
    """The lock with all of PyTorch's own CPU wheels, whichever of them the locking machine could see.

    Raises:
        BootstrapError: that machine has a wheel that is none of them.
    """
    for row in rows(lock):
        if row.startswith(f"torch=={TORCH_CPU} "):
            if not hashes(row) <= set(TORCH_CPU_SHA256):
                message = (
                    f"the torch {TORCH_CPU} wheel found here is none of PyTorch's own; see TORCH_CPU_SHA256"
                )
                raise BootstrapError(message)
            requirement = row.partition(" \\\n")[0]
            listed = " \\\n".join(f"    --hash=sha256:{digest}" for digest in sorted(TORCH_CPU_SHA256))
            return lock.replace(row, f"{requirement} \\\n{listed}\n")
    return lock


def with_exact_torch(lock: str) -> str:
    """The lock with `torch===2.13.0` for `torch==2.13.0`.

    `==` would let a `2.13.0+cpu` that lies in a folder of the user's pip configuration take the place of the
    CUDA build. Source: PEP 440, "Version matching" (local labels) and "Arbitrary equality".
    """
    return re.sub(r"^torch==(?=[0-9.]+ )", "torch===", lock, flags=re.MULTILINE)


def stale_locks() -> list[Path]:
    """Lock files that no recipe names any more."""
    return sorted(set(LOCKS.glob("*.lock")) - {recipe.lock for recipe in RECIPES.values()})
