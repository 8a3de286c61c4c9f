"""NVIDIA's GPUs as `nvidia-smi` shows them, and which processes are on them.

The tool comes with every driver, so nothing is to be installed; its CSV has had these columns for many
releases. What a card, a driver or a container does not tell stands in brackets, such as `[N/A]` or
`[Insufficient Permissions]`, and is left out.

Source: nvidia-smi --help-query-gpu and --help-query-compute-apps.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLUMNS = "index,uuid,utilization.gpu,power.draw,memory.used"
_GPUS = f"--query-gpu={_COLUMNS}"
_PROCESSES = "--query-compute-apps=gpu_uuid,pid,used_gpu_memory"
_FORMAT = "--format=csv,noheader,nounits"
_TIMEOUT_S = 5.0
_PATIENCE_S = 1.0
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        index: Its number on this machine.
        uuid: Its name everywhere.
        utilization: Share of the last moments in which it computed, from 0 to 1; None if it does not tell.
        power_w: What it draws, in watts; None if it does not tell.
        memory_bytes: In use by whomever; None if it does not tell.
        processes: Memory of each process on it in bytes, 0 if that is not told, by process id. In a container
            that has its own process ids, the tool tells none, or those of the host.
    """

    index: str
    uuid: str
    utilization: float | None = None
    power_w: float | None = None
    memory_bytes: float | None = None
    processes: dict[int, float] = field(default_factory=dict)


def find_tool() -> str | None:
    """Find `nvidia-smi`; None where there is none, and so no GPU of NVIDIA."""
    return shutil.which("nvidia-smi")


async def ask_gpus(tool: str) -> tuple[Gpu, ...]:
    """Ask for all GPUs and their processes; empty if the tool fails or does not answer in time."""
    found = await _run(tool, _GPUS)
    return () if found is None else read_gpus(found, await _run(tool, _PROCESSES) or "")


def read_gpus(gpus: str, processes: str) -> tuple[Gpu, ...]:
    """Read both answers of the tool."""
    on = list(_read_processes(processes))
    found = []
    for row in gpus.splitlines():
        cells = [cell.strip() for cell in row.split(",")]
        if len(cells) != len(_COLUMNS.split(",")):
            continue
        index, uuid, *numbers = cells
        utilization, power_w, memory_mib = map(_number, numbers)
        found.append(
            Gpu(
                index,
                uuid,
                utilization=None if utilization is None else utilization / 100,
                power_w=power_w,
                memory_bytes=None if memory_mib is None else memory_mib * _MIB,
                processes={pid: memory for gpu, pid, memory in on if gpu == uuid},
            )
        )
    return tuple(found)


def _read_processes(text: str) -> Iterator[tuple[str, int, float]]:
    for row in text.splitlines():
        cells = [cell.strip() for cell in row.split(",")]
        if len(cells) == 3 and cells[1].isdecimal():
            yield cells[0], int(cells[1]), (_number(cells[2]) or 0.0) * _MIB


def _number(cell: str) -> float | None:
    """Read a number; None where the tool says why there is none. A unit may follow it."""
    try:
        return float(cell.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return None


async def _run(tool: str, query: str) -> str | None:
    try:
        process = await asyncio.create_subprocess_exec(
            *(tool, query, _FORMAT),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        return None
    finally:
        await _end(process)
    return output.decode(errors="replace") if process.returncode == 0 else None


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the tool if it has not; one that waits for a driver which hangs is not waited for."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await process.communicate()
