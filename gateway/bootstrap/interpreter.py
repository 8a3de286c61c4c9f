"""Which Python runs us. Kept to the language of Python 3.8: see `__main__.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OLDEST = (3, 11)
NEWEST = (3, 14)
COMMANDS = ("python3.13", "python3.12", "python3.11", "python3.14")
"""Where a supported Python may be found on PATH."""

_PROBE = "import sys, ensurepip; print(*sys.version_info[:2])"


def is_supported(version: tuple[int, ...]) -> bool:
    """Whether the engine and the gateway have wheels for this Python version."""
    return OLDEST <= version[:2] <= NEWEST


def refusal(version: tuple[int, ...]) -> str:
    """The sentence for a machine with no Python that would do."""
    spelled = [f"{major}.{minor}" for major, minor in (OLDEST, NEWEST, version[:2])]
    return (
        f"Python {spelled[0]} to {spelled[1]} is needed, this is Python {spelled[2]} and PATH has no "
        f"working {', '.join(COMMANDS)}; install one (on Debian and Ubuntu: apt-get install python3.11 "
        "python3.11-venv) or name one: make PYTHON=/path/to/python3.11 serve"
    )


def find(
    commands: Iterable[str],
    which: Callable[[str], str | None],
    probe: Callable[[str], tuple[int, ...]],
) -> str | None:
    """The path of the first command that is there, runs, and is a supported Python."""
    for command in commands:
        path = which(command)
        if path is not None and is_supported(probe(path)):
            return path
    return None


def probe_version(path: str) -> tuple[int, ...]:
    """The version that the interpreter at `path` reports; `()` if it does not run or cannot make a venv.

    A version manager leaves commands on PATH that only say that their version is not installed.
    """
    try:
        answer = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True)
        return tuple(int(part) for part in answer.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()


def hand_over(arguments: list[str]) -> int:
    """Become a supported Python with the same arguments; return exit code 2 if there is none."""
    path = find(COMMANDS, shutil.which, probe_version)
    if path is None:
        sys.stderr.write(f"lmaas: {refusal(sys.version_info[:2])}\n")
    else:
        os.execv(path, [path, *arguments])
    return 2
