"""Which Python an environment is made from.

An engine's work is in compiled code, so any supported Python will do. The gateway's is in Python itself:
distributions build theirs with profile-guided optimisation, which a version manager leaves out as it takes a
compiler half an hour, and a call costs a fifth less in it (docs/decisions/0030-python-of-the-system.md).
"""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.interpreter import is_supported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Probe = Callable[[str], str | None]

CHOSEN_VARIABLE = "LMAAS_PYTHON"
"""Set where the user has named a Python (`make PYTHON=…`): then it is that one."""

SYSTEM = "/usr/bin/python3"

_TAG = (
    "import platform as p, sys; "
    "print(f'{p.python_implementation()}-{p.python_version()}-{sys.platform}-{p.machine()}')"
)


@dataclass(frozen=True)
class Python:
    """An interpreter, and what packages installed for it depend on: its version and the platform."""

    path: str
    tag: str


def running() -> Python:
    """The one that runs this."""
    version = f"{platform.python_implementation()}-{platform.python_version()}"
    return Python(sys.executable, f"{version}-{sys.platform}-{platform.machine()}")


def ask_tag(path: str) -> str | None:
    """The tag of the interpreter at `path`; None if there is none that works."""
    try:
        answer = subprocess.run([path, "-c", _TAG], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def quickest(environ: Mapping[str, str], probe: Probe = ask_tag, platform_name: str = sys.platform) -> Python:
    """The system's own, if it is a supported CPython on Linux and the user has named no other."""
    if environ.get(CHOSEN_VARIABLE) or platform_name != "linux":
        return running()
    tag = probe(SYSTEM)
    if tag is None or not _is_fit(tag):
        return running()
    return Python(SYSTEM, tag)


def _is_fit(tag: str) -> bool:
    implementation, version, *_ = tag.split("-")
    return implementation == "CPython" and is_supported(tuple(map(int, version.split(".")[:2])))
