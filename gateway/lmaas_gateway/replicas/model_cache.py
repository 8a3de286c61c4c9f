"""Folder of prepared models: each is made aside, checksummed, and appears by one rename.

So a folder that exists is whole, a preparation that was killed leaves nothing that is ever used, and two
processes that want the same model make it once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANIFEST = "manifest.json"
_CHUNK_BYTES = 2**20


class ModelCache:
    """Prepared models under one folder, by key (a folder name).

    Args:
        folder: Made when the first model is prepared.
        sleep: Given seconds to wait between two looks at a lock that another process holds.
    """

    def __init__(self, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._folder = folder
        self._sleep = sleep

    def path(self, key: str) -> Path:
        """Where the model `key` is, or would be."""
        return self._folder / key

    def find(self, key: str) -> Path | None:
        """Return the folder of a prepared model, if every file has the size that its manifest names."""
        folder = self.path(key)
        sizes = {name: size for name, (size, _) in _read_manifest(folder).items()}
        return folder if sizes and all(_size(folder / name) == size for name, size in sizes.items()) else None

    def verify(self, key: str) -> tuple[str, ...]:
        """Read every byte of a prepared model; return the names of files that are not as they were made."""
        folder = self.path(key)
        files = _read_manifest(folder)
        if not files:
            return (MANIFEST,)
        return tuple(name for name, (_, digest) in files.items() if _digest(folder / name) != digest)

    @contextmanager
    def locked(self, key: str, *, waiting: Callable[[], None]) -> Iterator[int]:
        """Keep other processes from preparing `key`; yield the lock's file descriptor.

        A child process that inherits the descriptor holds the lock on, so what an orphan still writes is
        never taken for what its successor makes. `waiting` is called at each look at a lock that is taken.

        Raises:
            SettingsError: the folder cannot be written to.
        """
        descriptor = self._open_lock(key)
        try:
            while not _try_lock(descriptor):
                waiting()
                self._sleep(0.2)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def staged(self, key: str) -> Iterator[Path]:
        """Yield an empty folder that becomes the model `key` if the body succeeds; call it while locked."""
        self._remove_leftovers(key)
        stage = Path(tempfile.mkdtemp(prefix=f".{key}.partial-", dir=self._folder))
        try:
            yield stage
            _write_manifest(stage)
            _sync_tree(stage)
            # A folder without a whole model in it; a whole one would have been found.
            shutil.rmtree(self.path(key), ignore_errors=True)
            stage.rename(self.path(key))
            _sync(self._folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def free_bytes(self) -> int:
        """How much the disk below the cache still takes."""
        return shutil.disk_usage(self._folder).free

    def _open_lock(self, key: str) -> int:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(self._folder / f".{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = (
                f"the model cache {self._folder} cannot be written to ({error.strerror}); "
                "make it writable, or set LMAAS_CACHE_DIR to a folder that is"
            )
            raise SettingsError(message) from error

    def _remove_leftovers(self, key: str) -> None:
        for leftover in self._folder.glob(f".{key}.partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_manifest(folder: Path) -> dict[str, tuple[int, str]]:
    """Size in bytes and SHA-256 by file name; empty if there is no usable manifest."""
    try:
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        return {str(name): (int(file["bytes"]), str(file["sha256"])) for name, file in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_manifest(folder: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _digest(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _digest(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def _sync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
