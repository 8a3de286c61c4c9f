"""What a machine must have before anything is installed on it.

`inspect` gathers the facts, `check` judges them: the second is a plain function of the first.
"""

from __future__ import annotations

import errno
import importlib.util
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bootstrap.errors import PreflightError

GIB = 1024**3
NEEDED_MEMORY_BYTES = 4 * GIB
NEEDED_GLIBC = (2, 31)
"""The oldest C library that every locked wheel of the engine runs on (llguidance is manylinux_2_31)."""


@dataclass(frozen=True)
class Machine:
    """The facts that decide whether the service can run here."""

    system: str
    machine: str
    is_64_bit: bool
    cpu_flags: frozenset[str]
    glibc: tuple[int, ...]
    memory_bytes: int
    has_venv: bool
    python: str


@dataclass(frozen=True)
class Room:
    """Free disk where environments are kept, and what the missing ones need."""

    folder: Path
    free_bytes: int
    needed_bytes: int


def check(machine: Machine) -> None:
    """Judge the machine.

    Raises:
        PreflightError: the first thing that is missing, with its remedy.
    """
    for complaint in (_platform(machine), _c_library(machine), _memory(machine), _python(machine)):
        if complaint:
            raise PreflightError(complaint)


def check_room(room: Room) -> None:
    """Judge the free disk.

    Raises:
        PreflightError: it does not hold what has to be installed.
    """
    if room.free_bytes < room.needed_bytes:
        message = (
            f"{room.folder} has {room.free_bytes / GIB:.1f} GiB free and the environments need "
            f"{room.needed_bytes / GIB:.0f} GiB; free some, or point XDG_CACHE_HOME at a larger disk"
        )
        raise PreflightError(message)


def _platform(machine: Machine) -> str | None:
    if machine.system != "Linux":
        return (
            f"the vLLM engine runs on Linux and this is {machine.system}; use a Linux "
            "machine or container, or serve replicas that run elsewhere: lmaas serve --config FILE"
        )
    if not machine.is_64_bit or machine.machine not in {"x86_64", "aarch64"}:
        return (
            f"the vLLM engine needs a 64-bit x86_64 or aarch64 system with a 64-bit Python and this is "
            f"{machine.machine or 'unknown'}; use a machine, or a Python, of that kind"
        )
    if machine.machine == "x86_64" and "avx2" not in machine.cpu_flags:
        return (
            "the vLLM engine needs a processor with AVX2 and this one does not show it; use a newer machine, "
            "or, in a virtual machine, pass the host's processor through (QEMU: -cpu host)"
        )
    return None


def _c_library(machine: Machine) -> str | None:
    if machine.glibc >= NEEDED_GLIBC:
        return None
    found = ".".join(map(str, machine.glibc)) or "another C library"
    return (
        f"the vLLM engine needs glibc {'.'.join(map(str, NEEDED_GLIBC))} or newer and this system has "
        f"{found}; use Debian 11, Ubuntu 20.04, RHEL 9 or anything newer with glibc (Alpine has none)"
    )


def _memory(machine: Machine) -> str | None:
    if machine.memory_bytes >= NEEDED_MEMORY_BYTES:
        return None
    has, needs = machine.memory_bytes / GIB, NEEDED_MEMORY_BYTES / GIB
    return (
        f"this machine has {has:.1f} GiB of memory and the engine with two models needs {needs:.0f} GiB; "
        "use a larger machine, or raise the container's memory limit"
    )


def _python(machine: Machine) -> str | None:
    if machine.has_venv:
        return None
    return (
        f"{machine.python} cannot make virtual environments with pip (no venv or ensurepip module); on "
        "Debian and Ubuntu: apt-get install python3-venv python3-pip"
    )


def check_port(host: str, port: int) -> None:
    """See that the service will be able to listen there; port 0, any free one, always can.

    Raises:
        PreflightError: the address is taken, not allowed or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        raise PreflightError(port_complaint(host, port, error)) from error


def port_complaint(host: str, port: int, error: OSError) -> str:
    """The sentence for an address that cannot be listened on."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program; stop that, or choose another port: "
            f"make serve PORT={port + 1}"
        )
    if error.errno == errno.EACCES:
        return (
            f"port {port} needs more rights than this user has; choose one above 1023: make serve PORT=8000"
        )
    return f"{host} is no address of this machine; choose one that is: make serve HOST=127.0.0.1"


def inspect() -> Machine:
    """Gather the facts of this machine."""
    return Machine(
        system=platform.system(),
        machine=platform.machine(),
        is_64_bit=sys.maxsize > 2**32,
        cpu_flags=cpu_flags(_text(Path("/proc/cpuinfo"))),
        glibc=version_numbers(platform.libc_ver()[1]),
        memory_bytes=memory_bytes(_text(Path("/proc/meminfo")), _text(Path("/sys/fs/cgroup/memory.max"))),
        has_venv=_has_module("venv") and _has_module("ensurepip"),
        python=sys.executable,
    )


def inspect_room(folder: Path, needed_bytes: int) -> Room:
    """Gather the free disk of the file system that `folder` lies on, or will."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return Room(folder, shutil.disk_usage(existing).free, needed_bytes)


def has_gpu(device: Path = Path("/dev/nvidia0")) -> bool:
    """Whether an NVIDIA GPU is there: its device node, or a driver that lists one."""
    if device.exists():
        return True
    nvidia_smi = shutil.which("nvidia-smi")
    if nvidia_smi is None:
        return False
    return subprocess.run([nvidia_smi, "-L"], capture_output=True, check=False).returncode == 0


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """The processor's features in `/proc/cpuinfo`'s text."""
    lines = (
        line.partition(":")[2] for line in cpuinfo.splitlines() if line.startswith(("flags", "Features"))
    )
    return frozenset(next(lines, "").split())


def memory_bytes(meminfo: str, cgroup_limit: str) -> int:
    """The memory that this process may use: the machine's, or its container's if that is less."""
    total = next(
        (int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemTotal:")), 0
    )
    limit = cgroup_limit.strip()
    return min(total, int(limit)) if limit.isdigit() else total


def version_numbers(version: str) -> tuple[int, ...]:
    """`"2.36"` as `(2, 36)`; `()` when unknown."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
