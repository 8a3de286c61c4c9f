"""A small process between the gateway and one engine: whatever dies, it ends the engine's process group.

The gateway starts it with a pipe as standard input and keeps the other end. The guardian starts the engine
in a process group of its own, says its process id on standard output, and ends the group

- when the pipe closes: the gateway is gone, even if by SIGKILL;
- on SIGTERM: the engine is asked to drain, and killed after a grace period or a second SIGTERM;
- when the engine's first process exits while its children live on, as vLLM's engine core does.

It is a subreaper: children whose parent died become its own, so that it sees when all of them are gone. If
the guardian itself is killed, the kernel kills the engine's first process, and the gateway kills the group.

Standard library only, run by file path: `python -I guardian.py --grace 35 --log FILE -- COMMAND…`.

Source: prctl(2), PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOG_CHECK_INTERVAL_S = 10.0
_KILL_PATIENCE_S = 5.0


class Guardian:
    """Runs one engine and leaves no process of it behind.

    Args:
        command: What to run.
        log: Where the engine's output goes, appended.
        grace_s: Seconds between the polite and the forced end.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        grace_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._log = log
        self._grace_s = grace_s
        self._clock = clock
        self._stop_requests = 0
        self._kill_at: float | None = None

    def run(self) -> int:
        """Run the engine to its end, whoever brings it about; return its exit code, negative for a signal."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        wakeup, sender = socket.socketpair()
        with wakeup, sender:
            self._watch_signals(sender)
            engine = self._start_engine()
            sys.stdout.write(f"{engine.pid}\n")
            sys.stdout.flush()
            try:
                self._guard(engine, wakeup)
            finally:
                end_group(engine.pid, clock=self._clock)
        return engine.wait()

    def _guard(self, engine: subprocess.Popen[bytes], wakeup: socket.socket) -> None:
        """Return when the engine's first process has exited or must be killed."""
        with selectors.DefaultSelector() as selector:
            lifeline = selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            while engine.poll() is None:
                ready = [key for key, _ in selector.select(self._patience_s())]
                if lifeline in ready and not os.read(lifeline.fd, 1024):
                    return
                if any(key.fileobj is wakeup for key in ready):
                    wakeup.recv(1024)
                if self._is_killing_time(engine):
                    return
                rotate(self._log)

    def _is_killing_time(self, engine: subprocess.Popen[bytes]) -> bool:
        if self._stop_requests and self._kill_at is None:
            self._kill_at = self._clock() + self._grace_s
            # Its first process alone: vLLM drains its calls, and ends the others itself.
            engine.terminate()
        return self._stop_requests > 1 or (self._kill_at is not None and self._clock() >= self._kill_at)

    def _patience_s(self) -> float:
        if self._kill_at is None:
            return _LOG_CHECK_INTERVAL_S
        return min(_LOG_CHECK_INTERVAL_S, max(0.0, self._kill_at - self._clock()))

    def _watch_signals(self, wakeup_sender: socket.socket) -> None:
        wakeup_sender.settimeout(0)
        signal.set_wakeup_fd(wakeup_sender.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._count_stop_request)
        # Without a handler the signal would not reach the wake-up socket.
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _count_stop_request(self, *_: object) -> None:
        self._stop_requests += 1

    def _start_engine(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the gateway's own command
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # This process has one thread, so nothing can hold a lock at the fork.
                preexec_fn=_die_with_parent(os.getpid()),  # noqa: PLW1509 - see above
            )


def rotate(log: Path, *, max_bytes: int = 4 * 2**20) -> None:
    """Move what `log` holds to `LOG.1` once it is longer than `max_bytes`.

    The engine has it open for appending, so that it goes on at the new end.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size > max_bytes:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def end_group(group: int, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Kill the process group and all that became this process's children; return when none is left.

    Gives up after some seconds on a process that the kernel cannot end, such as one waiting for a dead disk.
    """
    deadline = clock() + _KILL_PATIENCE_S
    while clock() < deadline:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        if not _reap(except_for=group):
            return
        time.sleep(0.02)


def _reap(*, except_for: int) -> bool:
    """Collect dead children but `except_for`, whose exit code is still wanted; tell whether any is alive."""
    alive = False
    for child in _children():
        options = os.WNOHANG | os.WEXITED | (os.WNOWAIT if child == except_for else 0)
        with contextlib.suppress(ChildProcessError):
            alive |= os.waitid(os.P_PID, child, options) is None
    return alive


def _children() -> list[int]:
    """Process ids of this process's children, dead ones that were not collected included."""
    try:
        return [int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def _die_with_parent(parent: int) -> Callable[[], None]:
    def arrange() -> None:  # pragma: no cover - runs between fork and exec, where nothing can be measured
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return arrange


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def main(arguments: Sequence[str]) -> int:
    """Run the engine that the command line names."""
    parser = argparse.ArgumentParser(description="Run an engine and leave none of its processes behind.")
    parser.add_argument("--grace", type=float, required=True, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("--log", type=Path, required=True, help="file for the engine's output")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    code = Guardian(options.command, options.log, grace_s=options.grace).run()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
