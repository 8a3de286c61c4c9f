"""A folder of claims and kept replies, which several processes share; all of it plain, blocking files.

    owners/OWNER    locked by a process as long as it lives
    claims/NAME     a symbolic link that names its holder and the call's fingerprint: made in one step
    replies/NAME    a kept reply: written aside, then renamed

NAME is a digest of tenant, route and key. A claim whose owner's lock is free belongs to a dead process,
and the next call takes it over.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import os
import shutil
import stat
import time
import uuid
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replay.claims import check_fingerprint, in_flight
from lmaas_gateway.replay.replies import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmaas_gateway.replay.bounded import Bounds
    from lmaas_gateway.replay.claims import Scope

_LOG = logging.getLogger("lmaas.gateway")
# How often a claim is tried for when other processes take and drop it in between.
_TRIES = 3
# A draft that is older than this was left by a process that died while writing.
_DRAFT_AGE_S = 60.0


class _Kept(msgspec.Struct, frozen=True):
    fingerprint: bytes
    recorded: Recorded


_KEPT = msgspec.msgpack.Decoder(_Kept)


class ReplyFolder:
    """One process's hold on the folder.

    Args:
        folder: Made if it is not there; for this user only, since it holds what was generated.
        bounds: Of all replies in the folder, kept by sweeps.
        clock: Unix seconds: what is kept outlives processes.

    Attributes:
        unswept_bytes: What this process has written since its last sweep.

    Raises:
        SettingsError: the folder cannot be used, or others may look into it.
    """

    def __init__(self, folder: Path, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._bounds = bounds
        self._clock = clock
        self._folder = folder
        # Text, because paths as objects would cost as much as the system calls.
        self._claims, self._replies, self._owners, self._drafts = (
            f"{folder}/{part}/" for part in ("claims", "replies", "owners", "drafts")
        )
        self._owner = uuid.uuid4().hex
        self._draft_numbers = itertools.count()
        self.unswept_bytes = 0
        try:
            self._open()
        except OSError as error:
            raise SettingsError(f"idempotency.folder {folder} cannot be used: {error.strerror}") from None

    def take(self, name: str, fingerprint: bytes) -> Recorded | None:
        """Take a claim, or give the reply that is kept.

        Raises:
            IdempotencyInFlightError: a living process holds the claim.
            IdempotencyMismatchError: the key was used with another body.
            OSError: the folder fails.
        """
        for _ in range(_TRIES):
            try:
                os.symlink(f"{self._owner}.{fingerprint.hex()}", self._claims + name)
            except FileExistsError:
                # Who finishes keeps the reply first and lets go of the claim then.
                if (kept := self._read(name, fingerprint)) is not None:
                    return kept
                self._check_holder(name, fingerprint)
                continue
            try:
                kept = self._read(name, fingerprint)
            except BaseException:
                self.release(name)
                raise
            if kept is not None:
                self.release(name)
            return kept
        raise in_flight()

    def keep(self, name: str, fingerprint: bytes, recorded: Recorded) -> None:
        """Store a reply that is not too long, and let go of its claim; a folder that fails is only logged."""
        if len(recorded.body) <= self._bounds.max_entry_bytes:
            data = msgspec.msgpack.encode(_Kept(fingerprint, recorded))
            draft = f"{self._drafts}{self._owner}.{next(self._draft_numbers)}"
            try:
                self._write(draft, data)
                os.rename(draft, self._replies + name)
                self.unswept_bytes += len(data)
            except OSError:
                _LOG.exception("a reply could not be kept for its idempotency key")
        self.release(name)

    def release(self, name: str) -> None:
        """Let go of a claim."""
        with contextlib.suppress(OSError):
            os.unlink(self._claims + name)

    def sweep(self) -> None:
        """Drop what has expired, what is too much, and what dead processes left."""
        self.unswept_bytes = 0
        with contextlib.suppress(OSError):
            self._drop_replies()
            self._drop_claims()
            self._drop_owners()

    def close(self, *, is_temporary: bool = False) -> None:
        """Leave the folder: what this process still claims is free from now on.

        Args:
            is_temporary: Remove the folder, if nobody else is in it.
        """
        with contextlib.suppress(OSError), self._mutex():
            os.unlink(self._owners + self._owner)
            if is_temporary and not any(map(self._is_alive, os.listdir(self._owners))):
                shutil.rmtree(self._folder)
        os.close(self._lock)

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Of what is there itself: where all may write, others can put a link to a folder of ours.
        state = self._folder.lstat()
        if not stat.S_ISDIR(state.st_mode):
            raise SettingsError(f"idempotency.folder {self._folder} is no folder; name one, not a link")
        if state.st_mode & 0o077 or state.st_uid != os.geteuid():
            raise SettingsError(
                f"idempotency.folder {self._folder} is open to others, and would hold what was generated; "
                f"close it with: chmod 700 {self._folder}"
            )
        for part in (self._claims, self._replies, self._owners, self._drafts):
            os.makedirs(part, mode=0o700, exist_ok=True)
        with self._mutex():
            self._lock = os.open(self._owners + self._owner, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _read(self, name: str, fingerprint: bytes) -> Recorded | None:
        try:
            file = os.open(self._replies + name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with open(file, "rb", buffering=0) as stream:
            if self._clock() - os.fstat(file).st_mtime >= self._bounds.ttl_s:
                return None
            data = stream.readall()
        try:
            kept = _KEPT.decode(data)
        except msgspec.DecodeError:
            return None
        check_fingerprint(kept.fingerprint, fingerprint)
        return kept.recorded

    def _write(self, path: str, data: bytes) -> None:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            now_s = self._clock()
            os.utime(file, (now_s, now_s))

    def _check_holder(self, name: str, fingerprint: bytes) -> None:
        """Refuse the twin of a living call; free the claim of a dead one."""
        try:
            target = os.readlink(self._claims + name)
        except FileNotFoundError:
            return
        owner, _, known = target.partition(".")
        if self._is_alive(owner):
            check_fingerprint(bytes.fromhex(known), fingerprint)
            raise in_flight()
        self._free(name, target)

    def _free(self, name: str, target: str) -> None:
        """Remove the claim of a dead process; if two try, only one finds it as it was."""
        with self._mutex(), contextlib.suppress(FileNotFoundError):
            if os.readlink(self._claims + name) == target:
                os.unlink(self._claims + name)

    def _is_alive(self, owner: str) -> bool:
        if owner == self._owner:
            return True
        try:
            with open(self._owners + owner, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False

    def _drop_replies(self) -> None:
        oldest_s = self._clock() - self._bounds.ttl_s
        size_bytes = 0
        for index, (stored_s, entry_bytes, path) in enumerate(sorted(_files(self._replies), reverse=True)):
            size_bytes += entry_bytes
            is_too_much = size_bytes > self._bounds.max_bytes or index >= self._bounds.max_entries
            if is_too_much or stored_s <= oldest_s:
                _remove(path)
        for stored_s, _, path in _files(self._drafts):
            if stored_s < self._clock() - _DRAFT_AGE_S:
                _remove(path)

    def _drop_claims(self) -> None:
        for name in os.listdir(self._claims):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(self._claims + name)
                if not self._is_alive(target.partition(".")[0]):
                    self._free(name, target)

    def _drop_owners(self) -> None:
        with self._mutex():
            for owner in os.listdir(self._owners):
                if not self._is_alive(owner):
                    _remove(self._owners + owner)

    @contextlib.contextmanager
    def _mutex(self) -> Iterator[None]:
        """Hold the folder's lock: for the few steps that must not cross those of another process."""
        file = os.open(f"{self._folder}/lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def name_of(scope: Scope) -> str:
    """Name the files of a key: nothing of it can be read from the name, and no name is special."""
    tenant, route, key = scope
    digest = sha256(b"%d %b %d %b " % (len(tenant), tenant.encode(), len(route), route.encode()))
    digest.update(key)
    return digest.hexdigest()


def _files(folder: str) -> Iterator[tuple[float, int, str]]:
    """List files with their times and sizes; those that go meanwhile are left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                state = entry.stat()
                yield state.st_mtime, state.st_size, entry.path


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
