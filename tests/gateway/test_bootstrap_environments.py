"""Environments are made once, shared, and made again after a killed installation; no network is needed."""

from __future__ import annotations

import io
import re
import sys
import threading
from pathlib import Path

import pytest

from bootstrap import indexes, pythons
from bootstrap.checkout import Checkout
from bootstrap.environments import cache_folder, exclusive, key
from bootstrap.errors import ToolError
from bootstrap.progress import Progress
from bootstrap.recipes import RECIPES
from bootstrap.toolrun import Command
from bootstrap_fakes import FakeRunner, environments, quiet


def test_pip_configuration_is_combined_as_pip_does() -> None:
    listing = (
        ":env:.find-links='/env/wheels'\nglobal.cert='/etc/ca.crt'\nglobal.find-links='/etc/wheels'\n"
        "global.index-url='https://a.invalid/simple'\ninstall.index-url='https://b.invalid/simple'\n"
        "freeze.timeout='10'\nnonsense\n"
    )
    assert indexes.parse_pip_configuration(listing) == {
        "find-links": "/env/wheels",
        "cert": "/etc/ca.crt",
        "index-url": "https://b.invalid/simple",
    }


def test_uv_is_told_where_pip_looks() -> None:
    pip = {"find-links": "/a\n/b", "extra-index-url": "https://x.invalid https://y.invalid", "cert": "/ca"}
    assert indexes.uv_environment(pip, {}) == {
        "UV_FIND_LINKS": "/a,/b",
        "UV_INDEX": "https://x.invalid https://y.invalid",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/ca",
    }


def test_what_the_user_told_uv_wins_over_pip() -> None:
    pip = {"index-url": "https://a.invalid", "find-links": "/a"}
    told = indexes.uv_environment(pip, {"UV_DEFAULT_INDEX": "https://mine.invalid"})
    assert told == {"UV_FIND_LINKS": "/a"}


def test_a_value_that_is_not_quoted_is_taken_as_it_is() -> None:
    assert indexes.parse_pip_configuration("global.proxy=host.invalid:3128") == {"proxy": "host.invalid:3128"}


def test_another_lock_or_python_is_another_environment() -> None:
    assert re.fullmatch("[0-9a-f]{12}", key(b"a", "3.11"))
    assert len({key(b"a", "3.11"), key(b"b", "3.11"), key(b"a", "3.12")}) == 3


def test_the_cache_is_where_the_desktop_standard_says() -> None:
    assert cache_folder({}, Path("/home/u")) == Path("/home/u/.cache/lmaas")
    assert cache_folder({"XDG_CACHE_HOME": "/big"}, Path("/home/u")) == Path("/big/lmaas")
    assert cache_folder({"XDG_CACHE_HOME": "not/absolute"}, Path("/home/u")) == Path("/home/u/.cache/lmaas")


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path)
    python = environments(tmp_path, runner).ensure("bench-smg")
    made = len(runner.commands)
    assert environments(tmp_path, runner).ensure("bench-smg") == python
    assert python.exists()
    assert len(runner.commands) == made
    assert runner.environments[-1] == {"UV_FIND_LINKS": "/somewhere/wheels"}


def test_a_failed_installation_is_made_again_from_nothing(tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path)
    shared = environments(tmp_path, runner)
    shared.ensure("tools")
    runner.fails_at = "install"
    with pytest.raises(ToolError, match="no such package"):
        shared.ensure("bench-smg")
    leftover = shared.home("bench-smg") / "half-made"
    leftover.touch()
    runner.fails_at = None
    assert not shared.is_ready("bench-smg")
    shared.ensure("bench-smg")
    assert shared.is_ready("bench-smg")
    assert not leftover.exists()


def test_an_environment_whose_python_was_removed_is_not_ready(tmp_path: Path) -> None:
    shared = environments(tmp_path, FakeRunner(tmp_path))
    shared.ensure("bench-smg").unlink()
    assert not shared.is_ready("bench-smg")


def test_two_that_start_together_share_one_installation(tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path)
    environments(tmp_path, runner).ensure("tools")
    barrier = threading.Barrier(2)

    def start() -> None:
        barrier.wait()
        environments(tmp_path, runner).ensure("bench-smg")

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    smg = str(RECIPES["bench-smg"].lock)
    assert sum(smg in arguments for arguments in runner.commands) == 1


@pytest.mark.parametrize("has_torch", [True, False])
def test_torch_comes_from_the_users_indexes_or_else_from_pytorchs(tmp_path: Path, has_torch: bool) -> None:
    runner = FakeRunner(tmp_path, has_torch=has_torch)
    environments(tmp_path, runner).ensure("engine-cpu")
    install = runner.installed()[-1]
    assert ("--torch-backend" in install) is not has_torch
    assert {"--require-hashes", "--no-deps", "--compile-bytecode"} <= set(install)


def test_the_gpu_engine_takes_torch_as_locked(tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path, has_torch=False)
    environments(tmp_path, runner).ensure("engine-gpu")
    assert "--torch-backend" not in runner.installed()[-1]


def test_who_waits_for_another_process_is_told(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = Progress(stream, is_terminal=False)
    lock, is_told = tmp_path / "engine-cpu.lock", threading.Event()

    def wait() -> None:
        with exclusive(lock, progress):
            is_told.set()

    with exclusive(lock, quiet()):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not is_told.wait(0.05)
    waiting.join()
    assert is_told.is_set()
    assert "waiting for another process that makes engine-cpu" in stream.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "lmaas"\n[tool.ruff]\nline-length = 100\n')
    return root


def test_the_gateway_is_there_where_development_is(project: Path, tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path)
    checkout = Checkout(project, environments(tmp_path, runner), quiet())
    checkout.ensure("gateway")
    assert checkout.is_ready("gateway")
    assert not checkout.is_ready("dev")
    checkout.ensure("dev")
    made = len(runner.commands)
    checkout.ensure("gateway")
    assert checkout.is_ready("dev")
    assert len(runner.commands) == made


def test_only_what_is_installed_from_pyproject_makes_it_new(project: Path, tmp_path: Path) -> None:
    checkout = Checkout(project, environments(tmp_path, FakeRunner(tmp_path)), quiet())
    checkout.ensure("gateway")
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("100", "110"))
    assert checkout.is_ready("gateway")
    pyproject.write_text(pyproject.read_text().replace('"lmaas"', '"lmaas"\ndependencies = ["six"]'))
    assert not checkout.is_ready("gateway")


def test_a_killed_installation_of_the_checkout_starts_from_nothing(project: Path, tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path)
    checkout = Checkout(project, environments(tmp_path, runner), quiet())
    checkout.ensure("gateway")
    runner.fails_at = "--editable"
    with pytest.raises(ToolError):
        checkout.ensure("dev")
    assert not checkout.is_ready("gateway")
    runner.fails_at = None
    runner.commands.clear()
    checkout.ensure("gateway")
    assert any("--clear" in arguments for arguments in runner.commands)


def test_a_virtual_environment_made_by_hand_is_built_on(project: Path, tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path)
    shared = environments(tmp_path, runner)
    shared.ensure("tools")
    runner.run(Command("by hand", ("python", "-m", "venv", project / ".venv")))
    runner.commands.clear()
    Checkout(project, shared, quiet()).ensure("gateway")
    assert not any("--clear" in arguments for arguments in runner.commands)


def test_environment_of_another_python_is_made_anew(project: Path, tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path)
    Checkout(project, environments(tmp_path, runner), quiet()).ensure("gateway")
    note = project / ".venv" / ".lmaas-installed"
    note.write_text(note.read_text().replace("CPython-3.", "CPython-9."))
    runner.commands.clear()
    Checkout(project, environments(tmp_path, runner), quiet()).ensure("gateway")
    assert any("--clear" in arguments for arguments in runner.commands)


@pytest.mark.parametrize(
    ("tag", "is_taken"),
    [
        ("CPython-3.12.3-linux-x86_64", True),
        ("CPython-3.9.2-linux-x86_64", False),
        ("PyPy-3.11.13-linux-x86_64", False),
        (None, False),
    ],
)
def test_own_code_runs_in_the_systems_python_where_that_will_do(tag: str | None, is_taken: bool) -> None:
    asked: list[str] = []

    def probe(path: str) -> str | None:
        asked.append(path)
        return tag

    found = pythons.quickest({}, probe, "linux")
    assert asked == [pythons.SYSTEM]
    assert found == (pythons.Python(pythons.SYSTEM, tag or "") if is_taken else pythons.running())


def test_python_that_the_user_names_is_used() -> None:
    chosen = {"LMAAS_PYTHON": "/opt/python3"}
    assert pythons.quickest(chosen, lambda _: "CPython-3.12.3", "linux") == pythons.running()


def test_on_other_systems_the_python_at_hand_is_used() -> None:
    assert pythons.quickest({}, lambda _: "CPython-3.12.3", "darwin") == pythons.running()


def test_an_interpreter_tells_its_own_tag_and_what_is_none_tells_nothing(tmp_path: Path) -> None:
    assert pythons.ask_tag(sys.executable) == pythons.running().tag
    assert pythons.ask_tag(str(tmp_path / "python3")) is None
