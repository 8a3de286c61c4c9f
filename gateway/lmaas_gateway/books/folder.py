"""Where the processes of this machine keep their journals, and how one takes over what a dead one left.

    books/BOOT/lock            locked by its process as long as it lives
    books/BOOT/N.journal       the records of ended calls
    books/BOOT/open.calls      the calls in flight

The kernel lets go of a lock when its holder dies, however it dies, and gives it to one other only: what a
dead process left is billed by exactly one that lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.books.open_calls import NAME, read_open_calls
from lmaas_gateway.books.segments import SUFFIX, Segment, Unshipped
from lmaas_gateway.entries import make_boot_id
from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmaas_gateway.call import Usage
    from lmaas_gateway.entries import Entry

_LOG = logging.getLogger("lmaas.gateway")
_LOCK = "lock"
# A folder has its name once it is locked; before that nobody may take it for a dead one's.
_DRAFT = ".new-"
_DRAFT_AGE_S = 60.0


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """This process's folder.

    Attributes:
        boot: Its name, and that of this start of the process.
    """

    boot: str
    path: Path
    lock: int

    def leave(self, *, is_done: bool) -> None:
        """Let go of it; once all is shipped there is nothing in it that anybody needs."""
        if is_done:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


class LeftFolder:
    """What a process left that ended before all was shipped; whoever has it must `drop` or `leave` it.

    Attributes:
        boot: Which process that was.
        unshipped: Its records.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock
        self.boot = path.name
        segments = []
        for file in sorted(path.glob("*" + SUFFIX)):
            segment = Segment.recover(file)
            if segment is None:
                continue
            if segment.is_torn:
                _LOG.warning("a journal of the books ends in a torn record; what stands before it is billed")
            segments.append(segment)
        self.unshipped = Unshipped(segments)

    def open_calls(self) -> Iterator[tuple[Entry, Usage]]:
        """Give the calls that it had in flight, and what each had been given."""
        with contextlib.suppress(FileNotFoundError):
            yield from read_open_calls(self._path / NAME)

    def drop(self) -> None:
        """Remove it: all of it is in the ledger."""
        self.unshipped.close()
        shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._lock)

    def leave(self) -> None:
        """Leave it to others."""
        self.unshipped.close()
        os.close(self._lock)


def enter(root: Path) -> OwnFolder:
    """Make this process a folder.

    Args:
        root: Made if it is not there; for this user only, since it says who calls.

    Raises:
        SettingsError: it cannot be used, or others may write into it.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = root.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_mode & 0o077 or state.st_uid != os.geteuid():
            raise SettingsError(
                f"the folder of the books, {root}, is open to others; close it with: chmod 700 {root}"
            )
        boot = make_boot_id()
        draft = root / (_DRAFT + boot)
        draft.mkdir(mode=0o700)
        lock = os.open(draft / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft.rename(root / boot)
    except OSError as error:
        raise SettingsError(f"the folder of the books, {root}, cannot be used: {error.strerror}") from None
    return OwnFolder(boot, root / boot, lock)


def adopt(root: Path) -> Iterator[LeftFolder]:
    """Take what dead processes have left, each folder for this process alone.

    Raises:
        OSError: the folder cannot be read.
    """
    for path in sorted(root.iterdir()):
        lock = _lock_of_dead(path)
        if lock is None:
            continue
        if path.name.startswith(_DRAFT):
            # Nothing is in it, and its maker died before it had its name.
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            continue
        yield LeftFolder(path, lock)


def _lock_of_dead(path: Path) -> int | None:
    try:
        if path.name.startswith(_DRAFT) and time.time() - path.stat().st_mtime < _DRAFT_AGE_S:
            return None
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between the two steps another one may have taken it, and be done with it.
        if os.fstat(lock).st_nlink:
            return lock
    except BlockingIOError:
        pass
    os.close(lock)
    return None
