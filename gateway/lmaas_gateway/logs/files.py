"""A log file that several processes write to, and that begins anew when it is full."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Lines name tenants and their calls.
_MODE = 0o600


class RotatingFile:
    """Takes whole lines for a file. When it is full it becomes `….1`, that one `….2`, and so on.

    Each process appends for itself. Who finds the file full moves it, under a lock on it; the others notice
    by its inode. A `logrotate` that moves the file is noticed in the same way.

    Args:
        path: Of the file; its folder must be there.
        max_bytes: When it is full.
        keep: How many older files stay.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._file = self._open()

    def write(self, data: bytes, /) -> int:
        """Append; tell how many bytes were taken."""
        self._follow()
        if os.fstat(self._file).st_size + len(data) > self._max_bytes:
            self._rotate()
        return os.write(self._file, data)

    def flush(self) -> None:
        """Do nothing: every write has gone to the system."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)

    def _follow(self) -> None:
        """Go on with the new file where somebody has moved this one."""
        if not self._is_current():
            os.close(self._file)
            self._file = self._open()

    def _is_current(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        return False

    def _rotate(self) -> None:
        with self._locked():
            # Whoever held the lock before may have moved it; and an empty file is no better than this one.
            if self._is_current() and os.fstat(self._file).st_size > 0:
                older = older_files(self._path, self._keep)
                for source, target in zip(older[-2::-1], older[:0:-1], strict=True):
                    with contextlib.suppress(FileNotFoundError):
                        source.rename(target)
                if older:
                    self._path.rename(older[0])
                else:
                    self._path.unlink()
        self._follow()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def older_files(path: Path, keep: int) -> list[Path]:
    """Name the older files of a log, the newest first, whether they are there or not."""
    return [path.with_name(f"{path.name}.{number}") for number in range(1, keep + 1)]
