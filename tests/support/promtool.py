"""promtool, which checks and tests rules as Prometheus does: this machine's, or out of Debian's package."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VARIABLE = "LMAAS_TEST_PROMTOOL"
_PACKAGE = "prometheus"
_LACK = (
    "promtool is needed to check the shipped rules, and there is none: install it (on Debian and Ubuntu: "
    f"apt-get install prometheus), or name one: {VARIABLE}=/path/to/promtool"
)


class MissingPromtoolError(RuntimeError):
    """There is no promtool, and it cannot be had; says what to do."""


def find() -> Path:
    """Find promtool; where there is none, take it out of Debian's package, once for all checkouts.

    Raises:
        MissingPromtoolError: it cannot be had.
    """
    if named := os.environ.get(VARIABLE):
        return _checked(Path(named))
    if on_path := shutil.which("promtool"):
        return Path(on_path)
    kept = _cache() / "promtool" / "promtool"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with (kept.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                _unpack(kept)
    return _checked(kept)


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "lmaas"


def _checked(path: Path) -> Path:
    try:
        subprocess.run([path, "--version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{path} does not run ({type(error).__name__}). {_LACK}"
        raise MissingPromtoolError(message) from None
    return path


def _unpack(target: Path) -> None:
    """Fetch the package and take one file out of it; nothing is installed."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        try:
            _download(folder)
            (package,) = Path(folder).glob("*.deb")
            _run(["dpkg-deb", "--extract", str(package), "tree"], folder)
            # In one step: who looks for it meanwhile finds it whole, or not.
            (Path(folder) / "tree/usr/bin/promtool").replace(target)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise MissingPromtoolError(f"{_LACK} ({type(error).__name__})") from None


def _download(folder: str) -> None:
    command = ["apt-get", "-q", "download", _PACKAGE]
    try:
        _run(command, folder)
    except subprocess.CalledProcessError:
        # A new machine does not know yet which packages there are; only root may ask.
        _run(["apt-get", "-q", "update"], folder)
        _run(command, folder)


def _run(command: list[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=100)
