from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import pytest

from gateway.fake_engine import write_interpreter
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas.machine import engine_device, gpu_ids, usable_cores

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("content", ["max 100000\n", "nonsense", None])
def test_cores_are_the_affinity_where_there_is_no_quota(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "cpu.max").write_text(content)
    assert usable_cores(tmp_path / "cpu.max") == len(os.sched_getaffinity(0))


def test_quota_of_a_container_bounds_the_cores(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(tmp_path / "cpu.max") == 1


def test_gpus_are_the_devices_unless_the_user_chose_some(tmp_path: Path) -> None:
    for name in ("nvidia10", "nvidia0", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpu_ids({}, tmp_path) == ("0", "10")
    assert gpu_ids({"CUDA_VISIBLE_DEVICES": "3, GPU-a"}, tmp_path) == ("3", "GPU-a")
    assert gpu_ids({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()


@pytest.mark.parametrize("build", ["cpu", "gpu"])
async def test_device_is_what_the_engine_is_built_for(tmp_path: Path, build: Literal["cpu", "gpu"]) -> None:
    python = str(write_interpreter(tmp_path / "python", build))
    assert await engine_device(python, "auto") == build
    assert await engine_device(python, build) == build


async def test_other_build_than_expected_is_a_sentence(tmp_path: Path) -> None:
    python = str(write_interpreter(tmp_path / "python", "cpu"))
    with pytest.raises(SettingsError, match=r"has the cpu build of vLLM; install lmaas\[gpu\]"):
        await engine_device(python, "gpu")


async def test_interpreter_without_vllm_is_a_sentence(tmp_path: Path) -> None:
    python = str(write_interpreter(tmp_path / "python", ""))
    with pytest.raises(SettingsError, match=r"has no vLLM; install the extra lmaas\[cpu\]"):
        await engine_device(python, "auto")


async def test_missing_interpreter_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="does not run"):
        await engine_device("/no/such/python", "auto")
