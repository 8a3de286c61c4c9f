"""Claims in a folder, shared by the workers of a gateway, and kept over its restarts.

    owners/OWNER    locked by a process as long as it lives
    claims/NAME     a symbolic link that names its holder and the call's fingerprint: made in one step
    replies/NAME    a kept reply: written aside, then renamed

NAME is a digest of principal, route and key. A claim whose owner's lock is free belongs to a dead process,
and the next call takes it over. All of this happens on threads, none of it on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replay.claims import check_fingerprint, in_flight
from lmaas_gateway.replay.replies import Recorded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from concurrent.futures import Future

    from lmaas_gateway.replay.bounded import Bounds
    from lmaas_gateway.replay.claims import Claim, Scope

_LOG = logging.getLogger("lmaas.gateway")
_THREADS = 4
# How often a claim is tried for when other processes take and drop it in between.
_TRIES = 3
# A process sweeps when it has written this part of what may be kept, besides each time it is told to.
_SWEEP_SHARE = 8
_DRAFT = ".draft"
# A draft that is older than this was left by a process that died while writing.
_DRAFT_AGE_S = 60.0


class _Kept(msgspec.Struct, frozen=True):
    fingerprint: bytes
    recorded: Recorded


_KEPT = msgspec.msgpack.Decoder(_Kept)


class FolderClaims:
    """Claims that several processes share.

    Args:
        folder: Made if it is not there; for this user only, since it holds what was generated.
        bounds: Of all replies in the folder. Between two sweeps each process may exceed them by an eighth.
        clock: Unix seconds: what is kept outlives processes.

    Raises:
        SettingsError: the folder cannot be used, or others may look into it.
    """

    def __init__(self, folder: Path, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._bounds = bounds
        self._clock = clock
        self._folder = folder
        self._claims, self._replies, self._owners = (
            folder / part for part in ("claims", "replies", "owners")
        )
        self._written_bytes = 0
        self._owner = uuid.uuid4().hex
        try:
            self._open()
        except OSError as error:
            raise SettingsError(f"idempotency.folder {folder} cannot be used: {error.strerror}") from None
        self._executor = ThreadPoolExecutor(_THREADS, "lmaas-replay")

    async def claim(self, scope: Scope, fingerprint: bytes) -> Recorded | Claim | None:
        """Give the reply that is kept for a key, or else the right to work on it; None if the folder fails.

        Raises:
            IdempotencyInFlightError: another call with the same body holds the key.
            IdempotencyMismatchError: the key was used with another body.
        """
        name = name_of(scope)
        taking = self._executor.submit(self._take, name, fingerprint)
        try:
            found = await asyncio.wrap_future(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(partial(self._untake, name))
            raise
        except OSError:
            # A store that fails takes no call down with it.
            _LOG.exception("the idempotency folder failed; the call runs without protection")
            return None
        return found if isinstance(found, Recorded) else _FolderClaim(self, name, fingerprint)

    async def sweep(self) -> None:
        """Drop what has expired, what is too much, and what dead processes left."""
        await asyncio.wrap_future(self._executor.submit(self._sweep))

    def close(self) -> None:
        """End the threads and leave the folder: what this process still claims is free from now on."""
        self._executor.shutdown()
        (self._owners / self._owner).unlink(missing_ok=True)
        os.close(self._lock)

    @property
    def max_entry_bytes(self) -> int:
        """Longer bodies are not kept."""
        return self._bounds.max_entry_bytes

    def keep(self, name: str, fingerprint: bytes, recorded: Recorded) -> Awaitable[object]:
        """Store a reply and let go of its claim, on a thread."""
        return asyncio.wrap_future(self._executor.submit(self._keep, name, fingerprint, recorded))

    def release(self, name: str) -> None:
        """Let go of a claim, on a thread; after `close` nothing need be done."""
        with contextlib.suppress(RuntimeError):
            self._executor.submit(self._release, name)

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._folder.stat().st_mode & 0o077:
            raise SettingsError(
                f"idempotency.folder {self._folder} is open to others, and would hold what was generated; "
                f"close it with: chmod 700 {self._folder}"
            )
        for part in (self._claims, self._replies, self._owners):
            part.mkdir(mode=0o700, exist_ok=True)
        with self._mutex():
            self._lock = os.open(self._owners / self._owner, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _take(self, name: str, fingerprint: bytes) -> Recorded | None:
        """Take a claim, or give the reply that is kept."""
        for _ in range(_TRIES):
            if (kept := self._read(name, fingerprint)) is not None:
                return kept
            try:
                self._link(name, fingerprint)
            except FileExistsError:
                self._check_holder(name, fingerprint)
                continue
            # Its holder may have finished between the two steps.
            kept = self._read(name, fingerprint)
            if kept is not None:
                self._release(name)
            return kept
        raise in_flight()

    def _read(self, name: str, fingerprint: bytes) -> Recorded | None:
        path = self._replies / name
        try:
            if self._clock() - path.stat().st_mtime >= self._bounds.ttl_s:
                return None
            kept = _KEPT.decode(path.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        check_fingerprint(kept.fingerprint, fingerprint)
        return kept.recorded

    def _link(self, name: str, fingerprint: bytes) -> None:
        (self._claims / name).symlink_to(f"{self._owner}.{fingerprint.hex()}")

    def _check_holder(self, name: str, fingerprint: bytes) -> None:
        """Refuse the twin of a living call; free the claim of a dead one."""
        try:
            target = str((self._claims / name).readlink())
        except FileNotFoundError:
            return
        owner, _, known = target.partition(".")
        if self._is_alive(owner):
            check_fingerprint(bytes.fromhex(known), fingerprint)
            raise in_flight()
        self._free(name, target)

    def _free(self, name: str, target: str) -> None:
        """Remove the claim of a dead process; if two try, only one finds it as it was."""
        path = self._claims / name
        with self._mutex(), contextlib.suppress(FileNotFoundError):
            if str(path.readlink()) == target:
                path.unlink()

    def _is_alive(self, owner: str) -> bool:
        if owner == self._owner:
            return True
        try:
            with (self._owners / owner).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False

    def _keep(self, name: str, fingerprint: bytes, recorded: Recorded) -> None:
        draft = self._folder / f"{name}.{uuid.uuid4().hex}{_DRAFT}"
        data = msgspec.msgpack.encode(_Kept(fingerprint, recorded))
        try:
            if len(recorded.body) <= self._bounds.max_entry_bytes:
                with open(draft, "wb", opener=_private) as file:
                    file.write(data)
                now_s = self._clock()
                os.utime(draft, (now_s, now_s))
                draft.replace(self._replies / name)
                self._written_bytes += len(data)
        except OSError:
            _LOG.exception("a reply could not be kept for its idempotency key")
            draft.unlink(missing_ok=True)
        self._release(name)
        if self._written_bytes > self._bounds.max_bytes // _SWEEP_SHARE:
            self._sweep()

    def _release(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._claims / name).unlink()

    def _untake(self, name: str, taking: Future[Recorded | None]) -> None:
        """Let go of a claim that was taken for a client who had left by then."""
        if not taking.cancelled() and taking.exception() is None and taking.result() is None:
            self._release(name)

    def _sweep(self) -> None:
        self._written_bytes = 0
        with contextlib.suppress(OSError):
            self._drop_replies()
            self._drop_claims()

    def _drop_replies(self) -> None:
        oldest_s = self._clock() - self._bounds.ttl_s
        found = sorted(_files(self._replies), reverse=True)
        size_bytes = 0
        for index, (stored_s, entry_bytes, path) in enumerate(found):
            size_bytes += entry_bytes
            if (
                stored_s <= oldest_s
                or size_bytes > self._bounds.max_bytes
                or index >= self._bounds.max_entries
            ):
                path.unlink(missing_ok=True)
        for stored_s, _, path in _files(self._folder):
            if path.suffix == _DRAFT and stored_s < self._clock() - _DRAFT_AGE_S:
                path.unlink(missing_ok=True)

    def _drop_claims(self) -> None:
        for path in self._claims.iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(path.readlink())
                if not self._is_alive(target.partition(".")[0]):
                    self._free(path.name, target)
        with self._mutex():
            for path in self._owners.iterdir():
                if not self._is_alive(path.name):
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _mutex(self) -> Iterator[None]:
        """Hold the folder's lock: for the few steps that must not cross those of another process."""
        with open(self._folder / "lock", "ab", opener=_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _FolderClaim:
    __slots__ = ("_claims", "_fingerprint", "_is_held", "_name", "max_entry_bytes")

    def __init__(self, claims: FolderClaims, name: str, fingerprint: bytes) -> None:
        self._claims = claims
        self._name = name
        self._fingerprint = fingerprint
        self._is_held = True
        self.max_entry_bytes = claims.max_entry_bytes

    def keep(self, recorded: Recorded) -> Awaitable[object]:
        self._is_held = False
        return self._claims.keep(self._name, self._fingerprint, recorded)

    def forgo(self) -> None:
        pass

    def release(self) -> None:
        if self._is_held:
            self._is_held = False
            self._claims.release(self._name)


def name_of(scope: Scope) -> str:
    """Name the files of a key: nothing of it can be read from the name, and no name is special."""
    principal, route, key = scope
    digest = sha256(b"%d %b %d %b " % (len(principal), principal.encode(), len(route), route.encode()))
    digest.update(key)
    return digest.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """List files with their times and sizes; those that go meanwhile are left out."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            yield stat.st_mtime, stat.st_size, path
