"""Fake replicas, in this process or in one of their own that can be killed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Protocol, Self

from lmaas_gateway.testing import Attempt, FakeReplica, Listen, Script, read_journal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEEP_ALIVE_S = 0.3
"""How long a replica keeps an idle connection: short, so that descriptors are soon back at their baseline."""


class Replica(Protocol):
    """What a scenario may know of a replica."""

    @property
    def url(self) -> str: ...

    def attempts(self) -> Sequence[Attempt]:
        """Every call that it saw, in order."""

    def running(self) -> int:
        """How many calls it works on."""


class ReplicaHere:
    """A fake replica in this process."""

    def __init__(self, fake: FakeReplica) -> None:
        self.fake = fake

    @classmethod
    def make(cls, **script: Any) -> Self:
        return cls(FakeReplica(script=Script(**script), listen=Listen(keep_alive_s=KEEP_ALIVE_S)))

    @property
    def url(self) -> str:
        return self.fake.url

    def attempts(self) -> Sequence[Attempt]:
        return [
            Attempt(
                call.request.name,
                call.at_s,
                call.tokens,
                None if call.outcome is None else call.outcome.value,
                call.ended_at_s,
            )
            for call in self.fake.calls
        ]

    def running(self) -> int:
        return self.fake.running

    async def __aenter__(self) -> Self:
        await self.fake.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.fake.stop()


class ReplicaProcess:
    """A fake replica in a process of its own, which writes down what it sees.

    Args:
        folder: For its journal.
        name: Of the journal.
        keep_alive_s: How long it keeps an idle connection.
        script: What happens to its calls.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, name: str, *, keep_alive_s: float = KEEP_ALIVE_S, **script: Any) -> None:
        self._journal = folder / f"{name}.journal"
        self._keep_alive_s = keep_alive_s
        self._script = script
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_up(self) -> bool:
        return self._process is not None

    async def command(self) -> Sequence[str]:
        """What runs the fake replica."""
        return (sys.executable, "-m", "lmaas_gateway.testing")

    async def start(self) -> None:
        """Start, on the same port again after a kill; return once it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *await self.command(),
            *("--host", self.host, "--port", str(self._port)),
            *("--journal", str(self._journal), "--script", json.dumps(self._script)),
            *("--keep-alive-s", str(self._keep_alive_s)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        assert line, "the fake replica did not start"
        self._port = int(line.rpartition(b":")[2])

    async def kill(self) -> None:
        """SIGKILL; return once it is gone."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGSTOP: the kernel still takes connections and bytes, nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def attempts(self) -> Sequence[Attempt]:
        """Every call, in the order in which it read them; what it finds when it goes on is old."""
        return list(read_journal(self._journal))

    def running(self) -> int:
        if self._process is None:
            return 0
        return sum(attempt.outcome is None for attempt in read_journal(self._journal, current_only=True))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.kill()
