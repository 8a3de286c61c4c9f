"""What a machine is asked before anything is installed, and the commands that `make` calls."""

from __future__ import annotations

import ast
import errno
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bootstrap import cli, interpreter, preflight
from bootstrap.errors import PreflightError
from bootstrap.preflight import GIB, Machine, Room
from bootstrap.recipes import RECIPES, Recipe
from bootstrap_fakes import ROOT, FakeRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEALTHY = Machine(
    system="Linux",
    machine="x86_64",
    is_64_bit=True,
    cpu_flags=frozenset({"avx2"}),
    glibc=(2, 36),
    memory_bytes=8 * GIB,
    has_venv=True,
    python="/usr/bin/python3",
)


@pytest.mark.parametrize("name", ["__main__.py", "interpreter.py"])
def test_an_old_python_can_read_what_tells_it_that_it_is_too_old(name: str) -> None:
    source = (ROOT / "gateway" / "bootstrap" / name).read_text()
    module = ast.parse(source, feature_version=(3, 8))
    future = [node.module for node in module.body if isinstance(node, ast.ImportFrom)]
    assert "__future__" in future, "annotations of newer Pythons must not be evaluated"


@pytest.mark.parametrize(
    ("version", "supported"),
    [((3, 8), False), ((3, 10), False), ((3, 11), True), ((3, 14), True), ((3, 15), False), ((), False)],
)
def test_supported_pythons(version: tuple[int, ...], supported: bool) -> None:
    assert interpreter.is_supported(version) is supported


def test_a_command_that_is_only_a_shim_is_passed_over() -> None:
    versions: dict[str, tuple[int, ...]] = {"/shims/python3.13": (), "/usr/bin/python3.11": (3, 11)}
    paths = {"python3.13": "/shims/python3.13", "python3.11": "/usr/bin/python3.11"}
    found = interpreter.find(interpreter.COMMANDS, paths.get, versions.__getitem__)
    assert found == "/usr/bin/python3.11"


def test_no_python_found_is_none() -> None:
    assert interpreter.find(["python3.11"], lambda _: None, lambda _: (3, 11)) is None


def test_probing_tells_the_version_of_a_real_interpreter_and_nothing_of_a_broken_one(tmp_path: Path) -> None:
    broken = tmp_path / "python3.13"
    broken.write_text("#!/bin/sh\necho not installed; exit 127\n")
    broken.chmod(0o755)
    assert interpreter.probe_version(sys.executable) == sys.version_info[:2]
    assert interpreter.probe_version(str(broken)) == ()
    assert interpreter.probe_version(str(tmp_path / "absent")) == ()


def test_the_refusal_names_what_is_needed_and_the_remedy() -> None:
    sentence = interpreter.refusal((3, 8, 18))
    assert "3.11" in sentence
    assert "Python 3.8" in sentence
    assert "apt-get install" in sentence
    assert "\n" not in sentence


def test_handing_over_without_another_python_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreter.hand_over(["gateway/bootstrap", "serve"]) == 2
    assert capsys.readouterr().err.startswith("lmaas: Python 3.11 to 3.14 is needed")


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (replace(HEALTHY, system="Darwin"), ["Linux", "Darwin", "--config"]),
        (replace(HEALTHY, machine="armv7l"), ["x86_64", "aarch64", "armv7l"]),
        (replace(HEALTHY, is_64_bit=False), ["64-bit"]),
        (replace(HEALTHY, cpu_flags=frozenset({"sse4_2"})), ["AVX2", "-cpu host"]),
        (replace(HEALTHY, glibc=(2, 28)), ["glibc 2.31", "2.28", "Debian 11"]),
        (replace(HEALTHY, glibc=()), ["glibc", "another C library"]),
        (replace(HEALTHY, memory_bytes=2 * GIB), ["2.0 GiB", "4 GiB", "memory limit"]),
        (replace(HEALTHY, has_venv=False), ["venv", "pip", "apt-get install python3-venv python3-pip"]),
    ],
)
def test_a_lack_is_told_in_one_sentence_with_its_remedy(machine: Machine, words: list[str]) -> None:
    with pytest.raises(PreflightError) as caught:
        preflight.check(machine)
    sentence = str(caught.value)
    assert [word for word in words if word not in sentence] == []
    assert "\n" not in sentence
    assert caught.value.exit_code == 2


def test_a_healthy_machine_passes() -> None:
    preflight.check(HEALTHY)
    preflight.check(replace(HEALTHY, machine="aarch64", cpu_flags=frozenset()))


def test_the_machine_that_runs_the_tests_passes() -> None:
    preflight.check(preflight.inspect())
    preflight.check_room(preflight.inspect_room(ROOT / "not" / "yet", 1))


def test_a_full_disk_is_told_with_the_way_to_another() -> None:
    with pytest.raises(PreflightError, match=r"2\.0 GiB free .* 6 GiB; .*XDG_CACHE_HOME"):
        preflight.check_room(Room(Path("/cache"), free_bytes=2 * GIB, needed_bytes=6 * GIB))


def test_a_port_in_use_is_told_with_another_to_choose() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PreflightError, match=f"port {port} on 127.0.0.1 is taken.*PORT={port + 1}"):
            preflight.check_port("127.0.0.1", port)
    preflight.check_port("127.0.0.1", port)
    preflight.check_port("127.0.0.1", 0)


def test_other_addresses_that_cannot_be_listened_on() -> None:
    assert "above 1023" in preflight.port_complaint("0.0.0.0", 80, OSError(errno.EACCES, "no"))
    assert "HOST=127.0.0.1" in preflight.port_complaint("nowhere", 80, OSError(errno.EADDRNOTAVAIL, "no"))


def test_facts_are_read_from_the_kernels_texts() -> None:
    cpuinfo = "processor : 0\nflags\t\t: fpu avx2 avx512f\n\nprocessor : 1\nflags : fpu\n"
    assert preflight.cpu_flags(cpuinfo) == {"fpu", "avx2", "avx512f"}
    assert preflight.cpu_flags("") == frozenset()
    assert preflight.memory_bytes("MemTotal:  8388608 kB\n", "max\n") == 8 * GIB
    assert preflight.memory_bytes("MemTotal:  8388608 kB\n", f"{GIB}\n") == GIB
    assert preflight.version_numbers("2.36") == (2, 36)
    assert preflight.version_numbers("") == ()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("cache")
def test_a_wrong_request_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["env", "engine-tpu"]) == 2
    assert cli.main(["serve", "--port", "http"]) == 2
    unknown, port = capsys.readouterr().err.splitlines()
    assert unknown.startswith("lmaas: there is no environment named engine-tpu; there are: engine, ")
    assert "PORT=8000" in port


def failing(error: BaseException) -> Callable[..., list[Path]]:
    def environments(*_: object) -> list[Path]:
        raise error

    return environments


@pytest.mark.parametrize(
    ("error", "exit_code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/cache/x"),
            1,
            "/cache/x: No space left on device",
        ),
        (ZeroDivisionError("oh"), 1, "ZeroDivisionError: oh"),
    ],
)
def test_no_failure_shows_a_traceback(
    error: BaseException,
    exit_code: int,
    words: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli.Bootstrap, "environments", failing(error))
    assert cli.main(["env", "engine"]) == exit_code
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    logs = "".join(log.read_text() for log in cache.rglob("bootstrap-*.log"))
    assert ("Traceback" in logs) is isinstance(error, ZeroDivisionError)


@pytest.mark.parametrize(("device", "name"), [("cpu", "engine-cpu"), ("gpu", "engine-gpu")])
def test_the_device_can_be_chosen(device: str, name: str) -> None:
    assert cli.Bootstrap(ROOT, {cli.DEVICE_VARIABLE: device}).engine() == name


def test_make_alone_lists_every_target() -> None:
    command = ["make", "-C", str(ROOT), "--no-print-directory"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True)
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE)) - {"dev", "python"}
    assert set(re.findall(r"^  make ([a-z]+)  *\S", listing.stdout, re.MULTILINE)) == targets
    checks = {"test", "check", "faults", "soak", "drill", "bench"}
    assert targets == checks | {"serve", "fmt", "docs", "lock", "pictures", "clean", "help"}


class Execution(Exception):  # noqa: N818 - not an error: it stands for what never returns
    """What the process would have become."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        super().__init__(command)
        self.command = command
        self.environ = environ


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "lmaas"\n')
    return root


def bootstrap(checkout: Path, **environ: str) -> cli.Bootstrap:
    environ = {
        "XDG_CACHE_HOME": str(checkout.parent),
        cli.DEVICE_VARIABLE: "cpu",
        "SHELL": "/bin/sh",
        **environ,
    }
    return cli.Bootstrap(checkout, environ, lambda **_: FakeRunner(checkout.parent))


def execute(_: str, command: list[str], environ: Mapping[str, str]) -> None:
    raise Execution(command, environ)


def test_an_engine_that_the_user_names_is_taken_and_none_installed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.execve", execute)
    with pytest.raises(Execution) as became:
        bootstrap(checkout, **{cli.PYTHON_VARIABLE: "/mine/python"}).serve("127.0.0.1", 0, [])
    assert became.value.environ[cli.PYTHON_VARIABLE] == "/mine/python"
    assert list((checkout.parent / "lmaas" / "envs").glob("engine-*")) == []


@pytest.mark.parametrize(
    ("arguments", "served"),
    [
        ([], ["smollm2-135m-instruct", "all-minilm-l6-v2"]),
        (["all-minilm-l6-v2"], ["all-minilm-l6-v2"]),
        (["--workers", "2"], ["smollm2-135m-instruct", "all-minilm-l6-v2", "--workers", "2"]),
        (["--config", "lmaas.yaml"], ["--config", "lmaas.yaml"]),
        (["--config=lmaas.yaml"], ["--config=lmaas.yaml"]),
    ],
)
def test_serve_becomes_the_gateway_with_the_engine_it_prepared(
    arguments: list[str], served: list[str], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.execve", execute)
    with pytest.raises(Execution) as became:
        bootstrap(checkout).serve("127.0.0.1", 0, arguments)
    lmaas = str(checkout / ".venv" / "bin" / "lmaas")
    assert became.value.command == [lmaas, "serve", "--host", "127.0.0.1", "--port", "0", *served]
    engine = Path(became.value.environ[cli.PYTHON_VARIABLE])
    assert engine.parts[-3].startswith("engine-cpu-")
    assert engine.exists()
    assert became.value.environ["SHELL"] == "/bin/sh"


@pytest.mark.usefixtures("cache")
def test_make_passes_models_and_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[object] = []

    def serve(_: object, *arguments: object) -> int:
        passed.extend(arguments)
        return 0

    monkeypatch.setattr(cli.Bootstrap, "serve", serve)
    assert cli.main(["serve", "--host", "::1", "--port", "81", "--", "a", "b", "--workers", "2"]) == 0
    assert passed == ["::1", 81, ["a", "b", "--workers", "2"]]


def test_a_second_preparation_installs_nothing(checkout: Path) -> None:
    first = [bootstrap(checkout).venv("dev"), *bootstrap(checkout).environments(["engine", "bench-smg"])]
    runner = FakeRunner(checkout.parent)
    environ = {"XDG_CACHE_HOME": str(checkout.parent), cli.DEVICE_VARIABLE: "cpu"}
    again = cli.Bootstrap(checkout, environ, lambda **_: runner)
    assert [again.venv("gateway"), *again.environments(["engine", "bench-smg"])] == first
    assert runner.commands == []


def test_a_full_disk_stops_before_anything_is_installed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "engine-cpu", replace(RECIPES["engine-cpu"], needed_gib=1e9))
    with pytest.raises(PreflightError, match="GiB free"):
        bootstrap(checkout).environments(["engine"])
    assert not (checkout.parent / "lmaas" / "envs").exists()


def test_the_command_runs_as_make_runs_it(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "gateway" / "bootstrap"), "env", "nonsense"]
    done = subprocess.run(
        command, env={"XDG_CACHE_HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("lmaas: there is no environment named nonsense")
    assert done.stdout == ""


def test_lock_writes_every_recipe_and_removes_what_none_names(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkout.parent / "locks"
    folder.mkdir()
    monkeypatch.setattr("bootstrap.locks.LOCKS", folder)
    (folder / "former.lock").touch()
    written: list[tuple[str, bool]] = []

    def write(_: object, recipe: Recipe, *, upgrade: bool) -> None:
        written.append((recipe.name, upgrade))

    monkeypatch.setattr("bootstrap.locks.Locksmith.write", write)
    bootstrap(checkout).lock(upgrade=True)
    assert written == [(name, True) for name in RECIPES]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("answer", "has_gpu"), [("exit 0", True), ("exit 9", False)])
def test_a_gpu_is_what_the_driver_lists(
    answer: str, has_gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\n{answer}\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert preflight.has_gpu(tmp_path / "nvidia0") is has_gpu
    assert preflight.has_gpu(driver) is True
    monkeypatch.setenv("PATH", str(tmp_path / "absent"))
    assert preflight.has_gpu(tmp_path / "nvidia0") is False
