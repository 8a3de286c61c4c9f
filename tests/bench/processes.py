"""Server processes of a benchmark: started on one core, measured as whole trees out of /proc, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STOP_TIMEOUT_S = 40.0
_CPUCLOCK_SCHED = 2


class ServerError(Exception):
    """A server that did not come up; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process and everything it started."""

    pid: int

    def tree(self) -> list[int]:
        """List the process ids, its own first."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (stat := _stat(int(entry.name))):
                children.setdefault(int(stat[1]), []).append(int(entry.name))
        found, todo = [], [self.pid]
        while todo:
            found.append(todo.pop(0))
            todo += children.get(found[-1], [])
        return found

    def cpu_s(self) -> float:
        """Sum the CPU seconds, user and system, that the tree has used so far."""
        return sum(map(_cpu_s, self.tree()))

    def rss_bytes(self) -> int:
        """Sum the resident memory of the tree."""
        pages = 0
        for pid in self.tree():
            try:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
        return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu_s(pid: int) -> float:
    """Read a process's clock of CPU time: to the nanosecond, where /proc counts hundredths of seconds.

    Source: the Linux kernel, `include/linux/posix-timers_types.h`, for the number of a process's clock.
    """
    try:
        return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; the command before may hold blanks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def free_port() -> int:
    """Find a TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Tell whether something listens on a TCP port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def on_core(core: int | None, command: Sequence[str]) -> list[str]:
    """Pin a command to a core; on a machine with one core, or for None, leave it alone."""
    is_pinned = core is not None and core in os.sched_getaffinity(0)
    return ["taskset", "-c", str(core), *command] if is_pinned else list(command)


@contextmanager
def serving(
    name: str, command: Sequence[str], *, core: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a server in a process group of its own, its output in a temporary log; stop the whole group."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        log = Path(folder) / "log"
        server = _start(on_core(core, command), log, {**os.environ, **(env or {})})
        try:
            yield Process(server.pid)
        except ServerError as error:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            message = f"{name}: {error}; the last lines of its log:\n{last}"
            raise ServerError(message) from error
        finally:
            _stop(server)


def _start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    try:
        # A server that left children behind must not spoil the next measurement.
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until(is_ready: Callable[[], bool], process: Process, *, within_s: float) -> None:
    """Ask `is_ready()` until it is true.

    Raises:
        ServerError: the process has ended, or the time is up.
    """
    deadline = time.monotonic() + within_s
    while not is_ready():
        if (stat := _stat(process.pid)) is None or stat[0] == "Z":
            message = "the process has ended"
            raise ServerError(message)
        if time.monotonic() > deadline:
            message = f"not ready after {within_s:.0f} s"
            raise ServerError(message)
        time.sleep(0.2)
