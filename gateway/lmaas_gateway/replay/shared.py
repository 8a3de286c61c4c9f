"""Claims in a folder that processes share, worked on without holding up the event loop.

A folder in memory (`/dev/shm`) is worked on where the call is: its few system calls take less time than a
thread takes to be woken. A folder that may be on a disk is worked on by threads.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from lmaas_gateway.replay.folder import ReplyFolder, name_of
from lmaas_gateway.replay.replies import Recorded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from lmaas_gateway.replay.bounded import Bounds
    from lmaas_gateway.replay.claims import Claim, Scope

_LOG = logging.getLogger("lmaas.gateway")
_THREADS = 4
# A process sweeps when it has written this part of what may be kept, besides each time it is told to: so much
# more than may be kept can be there.
_SWEEP_SHARE = 8


class FolderClaims:
    """Claims that several processes share.

    Args:
        folder: This process's hold on it.
        bounds: Of what is kept.
        is_in_memory: Whether it is quick enough to be worked on in the event loop.
        is_temporary: Whether the last process to leave removes it.
    """

    def __init__(
        self, folder: ReplyFolder, bounds: Bounds, *, is_in_memory: bool = False, is_temporary: bool = False
    ) -> None:
        self._folder = folder
        self._bounds = bounds
        self._is_in_memory = is_in_memory
        self._is_temporary = is_temporary
        self._executor = ThreadPoolExecutor(_THREADS, "lmaas-replay")
        self._is_sweeping = False
        self._releasing: dict[str, Future[object]] = {}

    @property
    def size_bytes(self) -> int:
        """What is kept in the memory of this process: nothing."""
        return 0

    @property
    def max_entry_bytes(self) -> int:
        """Longer bodies are not kept."""
        return self._bounds.max_entry_bytes

    async def claim(self, scope: Scope, fingerprint: bytes) -> Recorded | Claim | None:
        """Give the reply that is kept for a key, or else the right to work on it; None if the folder fails.

        Raises:
            IdempotencyInFlightError: another call with the same body holds the key.
            IdempotencyMismatchError: the key was used with another body.
        """
        name = name_of(scope)
        try:
            if self._is_in_memory:
                found = self._folder.take(name, fingerprint)
            else:
                found = await self._take(name, fingerprint)
        except OSError:
            # A store that fails takes no call down with it.
            _LOG.exception("the idempotency folder failed; the call runs without protection")
            return None
        return found if found is not None else _FolderClaim(self, name, fingerprint)

    async def sweep(self) -> None:
        """Drop what has expired, what is too much, and what dead processes left."""
        await asyncio.wrap_future(self._executor.submit(self._folder.sweep))

    def close(self) -> None:
        """End the threads and leave the folder."""
        self._executor.shutdown()
        self._folder.close(is_temporary=self._is_temporary)

    def keep(self, name: str, fingerprint: bytes, recorded: Recorded) -> Awaitable[object] | None:
        """Store a reply and let go of its claim."""
        if self._is_in_memory:
            self._keep(name, fingerprint, recorded)
            return None
        keeping = self._submit(self._keep, name, fingerprint, recorded)
        # Shielded, or a client that leaves now would take back what no thread has begun yet.
        return None if keeping is None else asyncio.shield(asyncio.wrap_future(keeping))

    def release(self, name: str) -> None:
        """Let go of a claim."""
        if self._is_in_memory:
            self._folder.release(name)
        elif (releasing := self._submit(self._folder.release, name)) is not None:
            self._releasing[name] = releasing
            releasing.add_done_callback(lambda _: self._releasing.pop(name, None))

    async def _take(self, name: str, fingerprint: bytes) -> Recorded | None:
        # A client that tries again at once must not find the claim of its own call that has ended.
        if (releasing := self._releasing.get(name)) is not None:
            await asyncio.shield(asyncio.wrap_future(releasing))
        taking = self._executor.submit(self._folder.take, name, fingerprint)
        try:
            return await asyncio.wrap_future(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(partial(self._untake, name))
            raise

    def _untake(self, name: str, taking: Future[Recorded | None]) -> None:
        """Let go of a claim that was taken for a client who had left by then."""
        if not taking.cancelled() and taking.exception() is None and taking.result() is None:
            self._folder.release(name)

    def _keep(self, name: str, fingerprint: bytes, recorded: Recorded) -> None:
        self._folder.keep(name, fingerprint, recorded)
        if self._folder.unswept_bytes > self._bounds.max_bytes // _SWEEP_SHARE and not self._is_sweeping:
            self._is_sweeping = True
            self._submit(self._sweep_full)

    def _submit(self, function: Callable[..., object], *arguments: object) -> Future[object] | None:
        """Have a thread do something; after `close`, when claims are free anyway, nothing."""
        try:
            return self._executor.submit(function, *arguments)
        except RuntimeError:
            return None

    def _sweep_full(self) -> None:
        self._folder.sweep()
        self._is_sweeping = False


class _FolderClaim:
    __slots__ = ("_claims", "_fingerprint", "_is_held", "_name", "max_entry_bytes")

    def __init__(self, claims: FolderClaims, name: str, fingerprint: bytes) -> None:
        self._claims = claims
        self._name = name
        self._fingerprint = fingerprint
        self._is_held = True
        self.max_entry_bytes = claims.max_entry_bytes

    def keep(self, recorded: Recorded) -> Awaitable[object] | None:
        self._is_held = False
        return self._claims.keep(self._name, self._fingerprint, recorded)

    def forgo(self) -> None:
        pass

    def release(self) -> None:
        if self._is_held:
            self._is_held = False
            self._claims.release(self._name)
