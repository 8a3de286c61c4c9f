"""One running engine and its guardian, as the gateway holds them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GUARDIAN_SCRIPT = Path(__file__).with_name("guardian.py")
_PATIENCE_S = 10.0


class EngineProcess:
    """An engine that has been started; made by `start`.

    Attributes:
        pid: Of the engine's first process, which is also its process group.
    """

    def __init__(self, guardian: asyncio.subprocess.Process, pid: int, *, grace_s: float) -> None:
        self.pid = pid
        self._guardian = guardian
        self._grace_s = grace_s

    @classmethod
    async def start(
        cls, command: Sequence[str], *, environ: Mapping[str, str], log: Path, grace_s: float
    ) -> Self:
        """Start `command` under a guardian.

        Args:
            command: The engine's command line.
            environ: The engine's whole environment.
            log: Where its output is appended.
            grace_s: Seconds that `stop` gives the engine to finish its calls.

        Raises:
            OSError: the command cannot be started.
        """
        guardian = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(_GUARDIAN_SCRIPT), "--grace", str(grace_s), "--log", str(log), "--"),
            *command,
            env=environ,
            # The gateway's end of this pipe closes with the gateway, however that ends.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            first_line = await guardian.stdout.readline() if guardian.stdout else b""
            pid = int(first_line)
        except ValueError:
            await guardian.wait()
            raise OSError(None, "the engine's interpreter does not run") from None
        except BaseException:
            _close_lifeline(guardian)
            await guardian.wait()
            raise
        return cls(guardian, pid, grace_s=grace_s)

    async def wait(self) -> int:
        """Wait until no process of the engine is left; return its exit code, negative for a signal."""
        code = await self._guardian.wait()
        if code < 0:
            # The guardian itself was killed, so the rest of the group is ours to end.
            await _end_group(self.pid)
        return 128 - code if code > 128 else code

    async def stop(self) -> None:
        """Let the engine finish its calls, then end it; return when no process of it is left."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._grace_s + _PATIENCE_S):
                await self.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.wait()

    async def kill(self) -> None:
        """End the engine at once; return when no process of it is left."""
        _close_lifeline(self._guardian)
        await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._guardian.send_signal(number)


async def _end_group(group: int) -> None:
    """Kill a process group and wait until it is gone, some seconds at most."""
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                os.killpg(group, signal.SIGKILL)
                await asyncio.sleep(0.05)


def _close_lifeline(guardian: asyncio.subprocess.Process) -> None:
    if guardian.stdin is not None:
        guardian.stdin.close()
