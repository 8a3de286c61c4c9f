"""The folder as a state machine: holders that take, keep, release, sweep and die in any order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from lmaas_gateway.errors import IdempotencyInFlightError, IdempotencyMismatchError
from lmaas_gateway.replay.bounded import Bounds
from lmaas_gateway.replay.folder import ReplyFolder
from lmaas_gateway.replay.replies import Recorded

BOUNDS = Bounds(max_bytes=10**6, max_entry_bytes=1000, max_entries=100, ttl_s=60)
HOLDERS = st.integers(0, 2)
NAMES = st.sampled_from(["a", "b"])
BODIES = st.sampled_from([b"1" * 32, b"2" * 32])


class Model(RuleBasedStateMachine):
    """Beside the folder, who holds what and what is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.holders = [self.join() for _ in range(3)]
        self.held: dict[str, tuple[ReplyFolder, bytes]] = {}
        self.kept: dict[str, tuple[bytes, Recorded]] = {}
        self.count = 0

    def join(self) -> ReplyFolder:
        return ReplyFolder(Path(self.folder.name), BOUNDS)

    def body_of(self, name: str) -> bytes | None:
        """The body that a key is bound to; None if it is free."""
        if name in self.kept:
            return self.kept[name][0]
        return self.held[name][1] if name in self.held else None

    @rule(holder=HOLDERS, name=NAMES, body=BODIES)
    def take(self, holder: int, name: str, body: bytes) -> None:
        known = self.kept.get(name)
        taker = self.holders[holder]
        try:
            found = taker.take(name, body)
        except IdempotencyMismatchError:
            assert self.body_of(name) not in {None, body}
        except IdempotencyInFlightError:
            assert known is None
            assert body == self.body_of(name)
        else:
            if known is None:
                assert (self.body_of(name), found) == (None, None)
                self.held[name] = taker, body
            else:
                assert known == (body, found)

    @rule(name=NAMES)
    def keep(self, name: str) -> None:
        if name in self.held:
            holder, body = self.held.pop(name)
            self.count += 1
            self.kept[name] = body, Recorded(b"t", False, b"%d" % self.count)
            holder.keep(name, *self.kept[name])

    @rule(name=NAMES)
    def release(self, name: str) -> None:
        if name in self.held:
            self.held.pop(name)[0].release(name)

    @rule(name=NAMES)
    def expire(self, name: str) -> None:
        if self.kept.pop(name, None) is not None:
            os.utime(Path(self.folder.name) / "replies" / name, (1, 1))

    @rule(holder=HOLDERS)
    def sweep(self, holder: int) -> None:
        self.holders[holder].sweep()

    @rule(holder=HOLDERS)
    def die(self, holder: int) -> None:
        """As by SIGKILL: the kernel drops the lock, and nothing else happens."""
        dead = self.holders[holder]
        os.close(dead._lock)
        self.held = {name: held for name, held in self.held.items() if held[0] is not dead}
        self.holders[holder] = self.join()

    def teardown(self) -> None:
        for holder in self.holders:
            holder.close()
        self.folder.cleanup()


TestReplyFolder = Model.TestCase
TestReplyFolder.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
