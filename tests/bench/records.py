"""The last measurement of each section, kept as JSON beside the code, so that one can be made again alone."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.awake import awake_cores
from bench.section import Section

FOLDER = Path(__file__).with_name("records")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run stood on; nothing here names a host or a folder."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """When and under what a section was measured.

    Attributes:
        load_before: One-minute load average when it began; other work than the benchmark's own.
        stolen_share: Of the machine's CPU time, what its host gave to others meanwhile.
        is_quick: Whether it was a short run, whose figures mean little.
        is_awake: Whether idle cores were kept from sleeping.
    """

    command: str
    date: datetime.date
    seconds: float
    machine: Machine
    load_before: float
    stolen_share: float
    is_quick: bool
    is_awake: bool = False


class Record(msgspec.Struct, frozen=True):
    """One section's last measurement."""

    setting: Setting
    result: msgspec.Raw


def machine() -> Machine:
    """Describe this machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    system = f"{platform.system()} {platform.machine()}"
    cores = len(os.sched_getaffinity(0))
    return Machine(names[0] if names else "unknown", cores, memory, system, platform.python_version())


def measured(command: str, measure: Callable[[bool], Result], *, is_quick: bool) -> tuple[Setting, Result]:
    """Run a measurement and note what it ran under."""
    load_before, times_before, begun_s = os.getloadavg()[0], cpu_times(), time.monotonic()
    with awake_cores() as is_awake:
        result = measure(is_quick)
    setting = Setting(
        command=command,
        date=datetime.datetime.now(tz=datetime.UTC).date(),
        seconds=time.monotonic() - begun_s,
        machine=machine(),
        load_before=load_before,
        stolen_share=stolen_share(times_before, cpu_times()),
        is_quick=is_quick,
        is_awake=is_awake,
    )
    return setting, result


def stolen_share(before: Sequence[int], after: Sequence[int]) -> float:
    """Tell which part of the CPU time between two readings of `cpu_times` the host gave to others."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return spent[7] / max(sum(spent[:8]), 1)


def cpu_times() -> list[int]:
    """Read what all cores together have spent, in ticks by kind."""
    # user nice system idle iowait irq softirq steal; guest times are in user already.
    return [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]


def save(section: Section[Result], setting: Setting, result: Result, folder: Path = FOLDER) -> None:
    """Keep a measurement in place of the section's last one."""
    folder.mkdir(exist_ok=True)
    record = Record(setting, msgspec.Raw(msgspec.json.encode(result)))
    text = msgspec.json.format(msgspec.json.encode(record), indent=1)
    (folder / f"{section.name}.json").write_bytes(text + b"\n")


def load(section: Section[Result], folder: Path = FOLDER) -> tuple[Setting, Result] | None:
    """Read the section's last measurement; None if there is none, or one of an older form."""
    try:
        record = msgspec.json.decode((folder / f"{section.name}.json").read_bytes(), type=Record)
        return record.setting, msgspec.json.decode(record.result, type=section.result)
    except (FileNotFoundError, msgspec.ValidationError):
        return None
