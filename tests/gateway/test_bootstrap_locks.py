"""The lock files hold everywhere, say everything, and name no host; `make lock` writes them so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bootstrap import locks
from bootstrap.environments import Uv
from bootstrap.errors import BootstrapError
from bootstrap.recipes import RECIPES, TORCH_CPU, TORCH_CPU_SHA256, Recipe
from bootstrap.toolrun import Command, Observer
from bootstrap_fakes import ROOT, FakeRunner, quiet


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_a_lock_pins_and_hashes_every_row_and_names_no_host(recipe: Recipe) -> None:
    text = recipe.lock.read_text()
    rows = locks.rows(text)
    assert len(rows) >= len(recipe.requirements)
    assert [row for row in rows if not locks.hashes(row)] == []
    assert [row for row in rows if not re.match(r"[a-z0-9][a-z0-9.-]*={2,3}[^ =]+ ", row)] == []
    assert re.findall(r"://|@ |--index|--find-links|--extra|\bfile:", text) == []
    assert sum(map(len, rows)) == len(re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)), "no other lines"


@pytest.mark.parametrize("package", ["httptools", "msgspec", "pydantic-core", "uvloop"])
def test_a_compiled_package_is_locked_for_every_python_and_platform(package: str) -> None:
    (row,) = (
        row for row in locks.rows(RECIPES["gateway"].lock.read_text()) if row.startswith(f"{package}==")
    )
    assert len(locks.hashes(row)) >= 8, "four Pythons on two platforms; was it locked from a partial index?"


def test_every_lock_file_has_a_recipe() -> None:
    assert locks.stale_locks() == []


def test_the_cpu_engine_takes_the_cpu_build_of_torch_by_any_of_its_wheels_and_no_cuda() -> None:
    rows = locks.rows(RECIPES["engine-cpu"].lock.read_text())
    names = {row.partition("==")[0] for row in rows}
    assert {name for name in names if name.startswith(("nvidia-", "cuda-"))} == set()
    assert names.isdisjoint({"torchvision", "torchaudio", "torchcodec", "triton"})
    (torch,) = (row for row in rows if row.startswith(f"torch=={TORCH_CPU} "))
    assert locks.hashes(torch) == set(TORCH_CPU_SHA256)


def test_the_gpu_engine_does_not_take_a_cpu_build_of_the_same_version() -> None:
    rows = locks.rows(RECIPES["engine-gpu"].lock.read_text())
    assert [row.split(" ", 1)[0] for row in rows if row.startswith("torch=")] == ["torch===2.13.0"]
    assert (
        locks.with_exact_torch("torch==2.13.0+cpu ; a\ntorch-x==1 \n")
        == "torch==2.13.0+cpu ; a\ntorch-x==1 \n"
    )


def test_a_torch_wheel_that_is_not_pytorchs_own_is_not_locked() -> None:
    lock = f"torch=={TORCH_CPU} \\\n    --hash=sha256:{'0' * 64}\n"
    with pytest.raises(BootstrapError, match="none of PyTorch's own"):
        locks.with_every_torch_wheel(lock)


def test_one_visible_torch_wheel_is_locked_as_all_of_them() -> None:
    lock = f"six==1.0 \\\n    --hash=sha256:{'1' * 64}\n"
    lock += f"torch=={TORCH_CPU} \\\n    --hash=sha256:{TORCH_CPU_SHA256[0]}\n"
    six, torch = locks.rows(locks.with_every_torch_wheel(lock))
    assert locks.hashes(six) == {"1" * 64}
    assert locks.hashes(torch) == set(TORCH_CPU_SHA256)


def pins(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in locks.rows(RECIPES[name].lock.read_text()):
        package, _, version = row.split(" ", 1)[0].partition("==")
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("extra", ["gateway", "dev"])
def test_a_lock_is_as_new_as_pyproject(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"][extra]]
    locked = pins(extra)
    for requirement in map(Requirement, wanted):
        if requirement.name == "lmaas":
            continue
        versions = locked.get(requirement.name.lower(), set())
        assert any(version in requirement.specifier for version in versions), f"run make lock: {requirement}"


def test_development_has_the_versions_that_are_served() -> None:
    gateway, dev = pins("gateway"), pins("dev")
    assert {name: dev.get(name) for name in gateway} == gateway


@pytest.mark.parametrize("name", ["gateway", "dev", "engine-cpu", "engine-gpu"])
def test_what_fetches_models_has_pip(name: str) -> None:
    assert "pip" in pins(name)


class CompilingRunner(FakeRunner):
    """Writes the lock file that uv would, and reads what uv would read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read_files: dict[str, str] = {}

    def run(self, command: Command, observer: Observer | None = None) -> None:
        super().run(command, observer)
        options = [str(argument) for argument in command.arguments]
        for option in ("--override", "--output-file"):
            path = Path(options[options.index(option) + 1])
            self.read_files[option] = path.read_text() if path.exists() else ""
        path.write_text(f"six==1.0 \\\n    --hash=sha256:{'1' * 64}\n")


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("bootstrap.recipes.LOCKS", tmp_path)
    return tmp_path


def lock(recipe: Recipe, runner: FakeRunner, *, upgrade: bool = False, find_links: bool = True) -> None:
    environment = {"UV_INDEX": "file:///some", "UV_INDEX_STRATEGY": "unsafe-best-match"}
    if find_links:
        environment["UV_FIND_LINKS"] = "/wheels"
    locks.Locksmith(ROOT, Uv(Path("uv"), environment), runner, quiet()).write(recipe, upgrade=upgrade)


def test_pins_that_fit_are_kept_unless_newer_ones_are_asked_for(locked: Path) -> None:
    runner = CompilingRunner(locked)
    recipe = Recipe("bench-x", "x", ("six",))
    recipe.lock.write_text(f"# By make.\nsix==0.9 ; os_name == 'a' \\\n    --hash=sha256:{'2' * 64}\n")
    lock(recipe, runner)
    assert runner.read_files["--output-file"] == "six==0.9 ; os_name == 'a'\n", "uv repeats hashes"
    assert recipe.lock.read_text().endswith(f"six==1.0 \\\n    --hash=sha256:{'1' * 64}\n")
    lock(recipe, runner, upgrade=True)
    assert runner.read_files["--output-file"] == ""


def test_what_must_not_come_along_is_overridden_away(locked: Path) -> None:
    runner = CompilingRunner(locked)
    lock(Recipe("bench-x", "x", ("six",), left_out=("triton",)), runner)
    assert runner.read_files["--override"] == 'triton; python_version < "0"\n'


def test_an_extra_repeats_the_pins_of_the_recipe_it_agrees_with(locked: Path) -> None:
    runner = CompilingRunner(locked)
    lock(Recipe("dev", "x", (), extra="dev", agrees_with="gateway"), runner)
    options = runner.commands[-1]
    assert options[options.index("--extra") + 1] == "dev"
    assert options[options.index("--constraint") + 1] == str(locked / "gateway.lock")


def test_only_the_main_index_is_seen_but_for_the_cpu_build_of_torch(locked: Path) -> None:
    runner = CompilingRunner(locked)
    lock(Recipe("engine-gpu", "x"), runner)
    assert runner.environments[-1] == {}
    lock(Recipe("engine-cpu", "x"), runner)
    assert runner.environments[-1] == {"UV_FIND_LINKS": "/wheels"}
    assert "--torch-backend" not in runner.commands[-1]
    lock(Recipe("engine-cpu", "x"), runner, find_links=False)
    assert "--torch-backend" in runner.commands[-1]
