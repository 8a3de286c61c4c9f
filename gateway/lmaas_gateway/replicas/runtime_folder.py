"""The private folder of one gateway process: its replicas' sockets and logs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_FOLDER_BYTES = 68
"""A socket path has at most 107 bytes, and vLLM adds sockets of its own with 36 characters each."""

_MAX_STEM_CHARS = 24
_OWN_PREFIX = "lmaas-run-"
_ABANDONED_AFTER_S = 60.0
# Others may put what they like into a folder for all: a pipe is not waited for, a link not followed.
_PLAIN = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class RuntimeFolder:
    """A folder that only this user can enter, known before it is made.

    Args:
        chosen: The user's choice, kept when the gateway ends; None for one of our own, which goes with it.
        environ: Where `XDG_RUNTIME_DIR` is looked up.

    Raises:
        SettingsError: the path is too long for sockets.
    """

    def __init__(self, chosen: Path | None, environ: Mapping[str, str]) -> None:
        self._is_ours = chosen is None
        self.path = _own_path(environ) if chosen is None else chosen.expanduser().absolute()
        self._lock: int | None = None
        if len(os.fsencode(self.path)) > _MAX_FOLDER_BYTES:
            message = (
                f"runtime_dir {self.path} is longer than {_MAX_FOLDER_BYTES} bytes, too long for sockets; "
                "set LMAAS_RUNTIME_DIR to a shorter path"
            )
            raise SettingsError(message)

    def socket_path(self, model: str, model_index: int, replica_index: int) -> Path:
        """Name the socket of a replica; the indices keep apart models whose simplified names are equal."""
        stem = re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-.")[:_MAX_STEM_CHARS]
        return self.path / f"{stem}-{model_index}-{replica_index}.sock"

    def open(self) -> None:
        """Make the folder, or take the one that is there.

        Raises:
            SettingsError: it cannot be made, is open to other users, or another gateway uses it.
        """
        if self._is_ours:
            _remove_abandoned(self.path.parent)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=not self._is_ours)
            if self.path.stat().st_mode & 0o077 or self.path.stat().st_uid != os.getuid():
                message = (
                    f"runtime_dir {self.path} is open to other users; run chmod 700 on it, or name another"
                )
                raise SettingsError(message)
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | _PLAIN, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            message = f"another gateway uses runtime_dir {self.path}; set LMAAS_RUNTIME_DIR to another folder"
            raise SettingsError(message) from None
        except OSError as error:
            message = (
                f"runtime_dir {self.path} cannot be used ({error.strerror}); set LMAAS_RUNTIME_DIR to another"
            )
            raise SettingsError(message) from error

    def close(self) -> None:
        """Let go of the folder; remove it if it is ours."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            if self._is_ours:
                shutil.rmtree(self.path, ignore_errors=True)


def _remove_abandoned(base: Path) -> None:
    """Remove what gateways that were killed left behind: folders of ours whose lock nobody holds.

    Young ones are left alone, as their gateway may not have locked them yet.
    """
    for folder in base.glob(f"{_OWN_PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_ours(folder.lstat(), stat.S_IFDIR):
                _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    lock = os.open(folder / ".lock", os.O_RDONLY | _PLAIN)
    try:
        state = os.fstat(lock)
        if _is_ours(state, stat.S_IFREG) and time.time() - state.st_mtime > _ABANDONED_AFTER_S:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _is_ours(state: os.stat_result, kind: int) -> bool:
    return stat.S_IFMT(state.st_mode) == kind and state.st_uid == os.getuid()


def _own_path(environ: Mapping[str, str]) -> Path:
    # mkdtemp's way of naming; the folder itself is made, and must be new, when replicas are started.
    name = f"{_OWN_PREFIX}{os.urandom(4).hex()}"
    base = Path(environ.get("XDG_RUNTIME_DIR", ""))
    path = base / name
    usable = base.is_absolute() and base.is_dir() and len(os.fsencode(path)) <= _MAX_FOLDER_BYTES
    return path if usable else Path(tempfile.gettempdir()) / name
